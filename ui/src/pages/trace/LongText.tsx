import { useState } from 'react';

const SHOWN_CHARACTERS = 2000;

/** Text as it was sent, line breaks and all; very long text after a click. */
export function LongText({ text, mono }: { text: string; mono?: boolean }) {
  const [all, setAll] = useState(false);
  const cut = !all && text.length > SHOWN_CHARACTERS;
  return (
    <>
      <span className={mono ? 'long long-mono' : 'long'}>{cut ? text.slice(0, SHOWN_CHARACTERS) : text}</span>
      {cut && <button className="link" onClick={() => setAll(true)}>… all {text.length.toLocaleString('en')} characters</button>}
    </>
  );
}
