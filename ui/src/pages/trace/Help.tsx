import { useEffect, useRef } from 'react';
import { SHORTCUTS } from './useKeys';

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} className="help" aria-label="Keys" onClose={onClose} onClick={(e) => e.target === dialog.current && onClose()}>
      <h2>Keys</h2>
      <dl>
        {SHORTCUTS.map(([keys, what]) => (
          <div key={keys}>
            <dt>{keys.split(' ').map((k) => (k === 'or' ? ' or ' : <kbd key={k}>{k}</kbd>))}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p className="text-muted">Drag on the overview or on the ruler to zoom; double-click shows the whole trace. Ctrl and the wheel zoom, Shift and the wheel move.</p>
      <button className="button" onClick={onClose}>Close</button>
    </dialog>
  );
}
