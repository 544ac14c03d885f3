import { ApiError } from '../api/client';
import { ErrorIcon } from './icons';

/** What the server said is wrong, and a way to try again. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  const parameter = error instanceof ApiError ? error.parameter : undefined;
  return (
    <div className="note note-error" role="alert">
      <ErrorIcon />
      <span>
        {parameter && <><code>{parameter}</code>: </>}
        {error instanceof Error ? error.message : String(error)}
      </span>
      {retry && <button className="button" onClick={retry}>Try again</button>}
    </div>
  );
}
