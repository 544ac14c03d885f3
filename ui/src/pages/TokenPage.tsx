import { useState } from 'react';
import { readToken, storeToken } from '../api/auth';
import { useTitle } from '../components/hooks';

/** Shown after a 401, in place of any page. */
export function TokenPage({ onToken }: { onToken: () => void }) {
  useTitle('Token');
  const [token, setToken] = useState('');
  return (
    <main className="notice">
      <h1>This server asks for a token</h1>
      <p>{readToken() ? 'It did not accept the one it was given.' : 'Whoever runs it has one.'} It is kept in this tab only, until the tab is closed.</p>
      <form
        className="notice-form"
        onSubmit={(e) => {
          e.preventDefault();
          if (token.trim() === '') return;
          storeToken(token.trim());
          onToken();
        }}
      >
        <input className="input" type="password" aria-label="Token" autoComplete="current-password" autoFocus value={token} onChange={(e) => setToken(e.target.value)} />
        <button className="button button-main">Continue</button>
      </form>
    </main>
  );
}
