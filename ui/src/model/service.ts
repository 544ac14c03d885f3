/** What is shown for a service without a name. */
export const UNKNOWN_SERVICE = '(no service.name)';

/** A name as the API has it, to be shown. */
export const shownService = (name: string): string => name || UNKNOWN_SERVICE;

/** The name as the API has it, of one that was shown. */
export const namedService = (shown: string): string => (shown === UNKNOWN_SERVICE ? '' : shown);
