import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { operationsQuery, servicesQuery } from '../../api/queries';
import { Combobox, type Option } from '../../components/Combobox';
import { RefreshIcon } from '../../components/icons';
import { Service } from '../../components/Service';
import { useColors } from '../../components/useColors';
import type { Search } from '../../model/search';
import { namedService, shownService } from '../../model/service';
import { AttributeFilter } from './AttributeFilter';
import { DurationInput } from './DurationInput';
import { RangePicker } from './RangePicker';

export interface FilterProps {
  search: Search;
  change: (patch: Partial<Search>) => void;
}

export function Filters({ search, change, refresh, busy }: FilterProps & { refresh: () => void; busy: boolean }) {
  const services = useQuery(servicesQuery);
  const operations = useQuery(operationsQuery(search.service));
  const colorOf = useColors();

  const serviceOptions = useMemo<Option[]>(
    () => (services.data ?? []).map((s) => ({
      value: shownService(s.name),
      label: <Service name={s.name} color={colorOf(s.name)} />,
      detail: s.span_count.toLocaleString('en'),
    })),
    [services.data, colorOf],
  );
  const operationOptions = useMemo<Option[]>(() => {
    const byName = new Map<string, { kinds: Set<string>; count: number }>();
    for (const o of operations.data ?? []) {
      const entry = byName.get(o.name) ?? { kinds: new Set(), count: 0 };
      entry.kinds.add(o.kind);
      entry.count += o.span_count;
      byName.set(o.name, entry);
    }
    return [...byName].map(([value, { kinds, count }]) => ({ value, detail: `${[...kinds].join(', ')} · ${count.toLocaleString('en')}` }));
  }, [operations.data]);

  return (
    <section className="filters" aria-label="Conditions">
      <div className="field field-service">
        <span>Service</span>
        <Combobox
          label="Service" placeholder="Any service" value={search.service === undefined ? '' : shownService(search.service)} options={serviceOptions} loading={services.isPending}
          onChoose={(shown) => change({ service: shown === '' ? undefined : namedService(shown), operation: undefined })}
        />
      </div>
      <div className="field field-operation">
        <span>Operation</span>
        <Combobox
          label="Operation" placeholder="Any operation" value={search.operation ?? ''} options={operationOptions} loading={operations.isPending}
          onChoose={(operation) => change({ operation })}
        />
      </div>
      <div className="field field-attributes">
        <span>Attributes</span>
        <AttributeFilter search={search} change={change} />
      </div>
      <label className="field">
        <span>Status</span>
        <select className="input" value={search.status ?? ''} onChange={(e) => change({ status: (e.target.value || undefined) as Search['status'] })}>
          <option value="">Any</option>
          <option value="error">Error</option>
          <option value="ok">Ok</option>
          <option value="unset">Unset</option>
        </select>
      </label>
      <DurationInput label="Min duration" placeholder="e.g. 100ms" value={search.min_duration} onChange={(min_duration) => change({ min_duration })} />
      <DurationInput label="Max duration" placeholder="e.g. 2s" value={search.max_duration} onChange={(max_duration) => change({ max_duration })} />
      <RangePicker search={search} change={change} />
      <div className="field field-actions">
        <button className={busy ? 'button button-icon busy' : 'button button-icon'} onClick={refresh} aria-label="Refresh" title="Refresh"><RefreshIcon /></button>
        <button className="button" aria-pressed={!!search.live} onClick={() => change({ live: !search.live })} title="Refresh every 5 seconds">
          <i className="live-dot" /> Live
        </button>
      </div>
    </section>
  );
}
