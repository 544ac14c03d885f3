import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { attributesQuery, valuesQuery } from '../../api/queries';
import { Combobox, type Option } from '../../components/Combobox';
import type { FilterProps } from './Filters';

const LEVELS = ['resource', 'scope', 'span', 'event', 'link'];

/** key=value conditions as chips, and an input that suggests keys, then the values of the key typed. */
export function AttributeFilter({ search, change }: FilterProps) {
  const [text, setText] = useState('');
  const [key, typed] = split(text);
  const { level, name } = splitLevel(key);
  const keys = useQuery(attributesQuery);
  const values = useQuery(valuesQuery(typed === null ? '' : name, level));
  const chosen = search.attribute ?? [];

  const options = useMemo<Option[]>(() => {
    if (typed === null) {
      const wanted = text.toLowerCase();
      return (keys.data ?? [])
        .filter((a) => `${a.level}.${a.key}`.toLowerCase().includes(wanted))
        .sort((a, b) => b.count - a.count)
        .map((a) => ({ value: `${a.level}.${a.key}=`, label: `${a.level}.${a.key}`, detail: `${a.type} · ${a.count.toLocaleString('en')}`, more: true }));
    }
    const wanted = typed.toLowerCase();
    return (values.data?.values ?? [])
      .filter((v) => v.value.toLowerCase().includes(wanted))
      .map((v) => ({ value: `${key}=${v.value}`, label: v.value, detail: v.count.toLocaleString('en') }));
  }, [text, typed, key, keys.data, values.data]);

  const add = (condition: string) => {
    if (isCondition(condition) && !chosen.includes(condition)) change({ attribute: [...chosen, condition] });
  };

  return (
    <div className="chips">
      {chosen.map((condition) => (
        <span className="chip" key={condition} title={condition}>
          <span className="chip-text">{condition}</span>
          <button type="button" aria-label={`Remove ${condition}`} onClick={() => change({ attribute: chosen.filter((c) => c !== condition) })}>×</button>
        </span>
      ))}
      <Combobox
        label="Attribute condition" placeholder={chosen.length ? 'and key=value' : 'key=value'} value="" accepts={isCondition} clearing filtered
        options={options} loading={typed === null ? keys.isPending : values.isPending}
        note={typed !== null && values.data?.complete === false ? 'Rarer values are not listed; Enter takes any text' : undefined}
        onText={setText} onChoose={add}
      />
    </div>
  );
}

const isCondition = (text: string) => /^.+=/s.test(text);

function split(text: string): [key: string, value: string | null] {
  const at = text.indexOf('=');
  return at <= 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

function splitLevel(key: string): { level?: string; name: string } {
  const level = LEVELS.find((l) => key.startsWith(`${l}.`));
  return level ? { level, name: key.slice(level.length + 1) } : { name: key };
}
