import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { parseTraceRef } from '../model/ids';

export function TraceIdBox() {
  const navigate = useNavigate();
  const [text, setText] = useState('');
  const [wrong, setWrong] = useState(false);

  const open = (input: string): boolean => {
    const ref = parseTraceRef(input);
    if (!ref) return false;
    setText('');
    setWrong(false);
    void navigate({ to: '/trace/$traceId', params: { traceId: ref.traceId }, search: ref.spanId ? { span: ref.spanId } : {} });
    return true;
  };

  return (
    <form
      className="trace-id-box"
      role="search"
      onSubmit={(e) => {
        e.preventDefault();
        setWrong(text !== '' && !open(text));
      }}
    >
      <input
        className="input"
        aria-label="Open a trace by its id"
        aria-invalid={wrong}
        placeholder="Open trace id or traceparent"
        spellCheck={false}
        autoComplete="off"
        value={text}
        onChange={(e) => {
          setText(e.target.value);
          setWrong(false);
        }}
        onPaste={(e) => {
          // A whole id needs no Enter; a shorter one may still be edited.
          const pasted = e.clipboardData.getData('text').trim();
          if (text === '' && pasted.length >= 32 && open(pasted)) e.preventDefault();
        }}
      />
      {wrong && <span className="trace-id-wrong" role="alert">Not a trace id: up to 32 hex digits</span>}
    </form>
  );
}
