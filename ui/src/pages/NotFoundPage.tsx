import { Link } from '@tanstack/react-router';

export function NotFoundPage() {
  return (
    <main className="notice">
      <h1>No such page</h1>
      <p><Link to="/">Go to search</Link></p>
    </main>
  );
}
