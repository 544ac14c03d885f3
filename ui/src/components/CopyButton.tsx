import { useEffect, useState } from 'react';
import { CopyIcon, DoneIcon } from './icons';

export function CopyButton({ text, label }: { text: string | (() => string); label: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button
      type="button"
      className="copy"
      title={label}
      aria-label={copied ? 'Copied' : label}
      onClick={(e) => {
        e.stopPropagation();
        void copy(typeof text === 'string' ? text : text()).then(setCopied);
      }}
    >
      {copied ? <DoneIcon /> : <CopyIcon />}
    </button>
  );
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Browsers keep navigator.clipboard from pages served by plain HTTP, which many servers here are. */
function copyBySelection(text: string): boolean {
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'offscreen';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}
