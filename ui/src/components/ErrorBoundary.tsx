import { Component, type ErrorInfo, type ReactNode } from 'react';

export class ErrorBoundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override componentDidCatch(error: unknown, info: ErrorInfo) {
    console.error(error, info.componentStack);
  }

  override render() {
    return this.state.error === null ? this.props.children : <PageError error={this.state.error} />;
  }
}

export function PageError({ error }: { error: unknown }) {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return (
    <main className="notice" role="alert">
      <h1>This page failed</h1>
      <p>A fault in Spanfall's UI, not in your data. Please report it with the text below.</p>
      <pre className="block">{text}</pre>
      <p><button className="button" onClick={() => location.reload()}>Reload</button> <a href="/">Go to search</a></p>
    </main>
  );
}
