import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { makeSample, statusQuery } from '../../api/queries';
import { CopyButton } from '../../components/CopyButton';
import { ErrorNote } from '../../components/ErrorNote';
import { useTitle } from '../../components/hooks';
import { addressesOf, LANGUAGES, ONLY_TRACES, stepsOf, type Language } from './snippets';

/** What an empty store shows. The services query polls, so the page changes when a span arrives. */
export function FirstSpan() {
  useTitle('Send the first span');
  const navigate = useNavigate();
  const client = useQueryClient();
  // What was asked while the store was empty must not outlive that.
  useEffect(() => () => void client.invalidateQueries(), [client]);
  const status = useQuery(statusQuery);
  const [language, setLanguage] = useState<Language>('Python');
  const sample = useMutation({
    mutationFn: makeSample,
    onSuccess: (traceId) => void navigate({ to: '/trace/$traceId', params: { traceId } }),
  });
  const addresses = addressesOf(status.data?.listeners, location.hostname);

  return (
    <main className="first">
      <h1>Send the first span</h1>
      <p className="text-muted">
        OTLP is received at <code>{addresses.grpc}</code> (gRPC) and <code>{addresses.http}</code> (HTTP).
        {addresses.isDefault && ' Stock SDKs send there by default.'}
      </p>
      <p className="first-wait" role="status"><i className="live-dot live-dot-on" /> Waiting; this page changes by itself when a span arrives.</p>
      <div className="tabs" role="tablist" aria-label="Language">
        {LANGUAGES.map((name) => (
          <button
            key={name} role="tab" id={`tab-${name}`} aria-selected={name === language} aria-controls="tab-panel" tabIndex={name === language ? 0 : -1}
            onClick={() => setLanguage(name)}
            onKeyDown={(e) => {
              const step = e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0;
              if (step === 0) return;
              const next = LANGUAGES[(LANGUAGES.indexOf(language) + step + LANGUAGES.length) % LANGUAGES.length];
              setLanguage(next);
              document.getElementById(`tab-${next}`)?.focus();
            }}
          >
            {name}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="tab-panel" aria-labelledby={`tab-${language}`}>
        {stepsOf(language, addresses).map((step) => (
          <div className="first-step" key={step.text}>
            <p>{step.text}</p>
            <div className="block-wrap">
              <pre className="block">{step.code}</pre>
              <CopyButton text={step.code} label="Copy" />
            </div>
          </div>
        ))}
        <p className="text-muted">Spanfall keeps traces. If your SDK complains that metrics or logs find no taker, add <code>{ONLY_TRACES}</code>.</p>
      </div>
      <div className="first-sample">
        <p>Nothing at hand to instrument?</p>
        <button className="button button-main" disabled={sample.isPending} onClick={() => sample.mutate()}>
          {sample.isPending ? 'Making…' : 'Make a sample trace'}
        </button>
      </div>
      {sample.isError && <ErrorNote error={sample.error} />}
    </main>
  );
}
