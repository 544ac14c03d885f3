import { useEffect, useState } from 'react';
import { normaliseDuration } from '../../model/duration';

interface Props {
  label: string;
  placeholder: string;
  value: string | undefined;
  onChange: (value: string | undefined) => void;
}

export function DurationInput({ label, placeholder, value, onChange }: Props) {
  const [text, setText] = useState(value ?? '');
  useEffect(() => {
    setText(value ?? '');
  }, [value]);
  const wrong = text !== '' && normaliseDuration(text) === null;
  const commit = () => {
    if (wrong) return;
    const next = text === '' ? undefined : normaliseDuration(text)!;
    if (next !== value) onChange(next);
  };
  return (
    <label className="field field-duration">
      <span>{label}</span>
      <input
        className="input" placeholder={placeholder} value={text} aria-invalid={wrong} spellCheck={false} autoComplete="off"
        title={wrong ? 'A number with ns, us, ms, s, m or h' : undefined}
        onChange={(e) => setText(e.target.value)}
        onBlur={commit}
        onKeyDown={(e) => e.key === 'Enter' && commit()}
      />
    </label>
  );
}
