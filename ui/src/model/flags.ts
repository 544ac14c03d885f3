/** What is odd about a span, as bits. */
export const ERROR = 1;
/** Its parent is named but not in the trace. */
export const ORPHAN = 2;
/** Its parents led back to itself; the link was cut here. */
export const CYCLE = 4;
/** An earlier span has the same id. */
export const DUPLICATE = 8;
export const NO_START = 16;
export const NO_END = 32;
export const NEGATIVE = 64;
/** Starts so far from the rest that it is left out of the time scale. */
export const OFF_SCALE = 128;
/** Ends so far from the rest that its bar is cut. */
export const END_OFF_SCALE = 256;
