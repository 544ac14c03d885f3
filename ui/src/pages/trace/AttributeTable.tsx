import { Link } from '@tanstack/react-router';
import { createContext, Fragment, use } from 'react';
import type { Level } from '../../api/types';
import { CopyButton } from '../../components/CopyButton';
import type { AnyValue, KeyValue } from '../../model/otlp';
import { RANGE_DEFAULT, readSearch, type RangeName } from '../../model/search';
import { isSearchable, sizeText, textOf, typeOf } from '../../model/value';
import { LongText } from './LongText';

/** The time range that searches from here ask for, so that they find at least this trace. */
export const SearchRange = createContext<RangeName>(RANGE_DEFAULT);

/** Attributes in the order sent, keys sent twice included. */
export function AttributeTable({ level, attributes }: { level: Level; attributes: KeyValue[] | undefined }) {
  if (!attributes?.length) return null;
  return (
    <dl className="attributes">
      {attributes.map((kv, i) => (
        <div key={i} className={textOf(kv.value).includes('\n') ? 'attribute attribute-wide' : 'attribute'}>
          <dt><Breakable text={kv.key} /></dt>
          <dd className="attribute-value"><Value value={kv.value} condition={`${level}.${kv.key}`} /></dd>
          <dd className="attribute-end">
            <span className="type">{typeOf(kv.value)}</span>
            <CopyButton text={() => textOf(kv.value)} label={`Copy the value of ${kv.key}`} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Breaks lines after dots and the like rather than inside words. */
function Breakable({ text }: { text: string }) {
  return text.split(/(?<=[._/:])/).map((part, i) => <Fragment key={i}>{i > 0 && <wbr />}{part}</Fragment>);
}

function Value({ value, condition }: { value: AnyValue | undefined; condition: string }) {
  const range = use(SearchRange);
  const type = typeOf(value);
  if (type === 'empty') return <span className="text-muted">no value</span>;
  if (type === 'array' || type === 'kvlist') return <Nested value={value!} />;
  const text = textOf(value);
  if (type === 'bytes') return <><span className="text-muted">{sizeText(value!)}, base64 </span><LongText text={text} mono /></>;
  if (text.includes('\n')) return <LongText text={text} mono />;
  if (text === '') return <span className="text-muted">empty</span>;
  if (!isSearchable(type) || text.length > LINK_CHARACTERS_MAX) return <LongText text={text} />;
  return (
    <Link to="/" search={readSearch({ attribute: [`${condition}=${text}`], range })} className={`value value-${type}`} title={`Find traces with ${condition}=${text}`}><Breakable text={text} /></Link>
  );
}

/** Beyond this a value is text to read, not a condition to search by. */
const LINK_CHARACTERS_MAX = 300;

function Nested({ value, name }: { value: AnyValue; name?: string }) {
  const items = value.arrayValue?.values?.map((v, i) => ({ key: String(i), value: v as AnyValue | undefined })) ?? value.kvlistValue?.values ?? [];
  return (
    <details className="nested" open={items.length <= 3}>
      <summary>{name !== undefined && <span className="nested-key">{name}</span>}{sizeText(value)}{name !== undefined && <span className="type">{typeOf(value)}</span>}</summary>
      <ul>
        {items.map((kv, i) => (
          <li key={i}>
            {typeOf(kv.value) === 'array' || typeOf(kv.value) === 'kvlist' ? <Nested value={kv.value!} name={kv.key} /> : (
              <>
                <span className="nested-key">{kv.key}</span>
                <span className={`value-${typeOf(kv.value)}`}>{textOf(kv.value)}</span>
                <span className="type">{typeOf(kv.value)}</span>
              </>
            )}
          </li>
        ))}
      </ul>
    </details>
  );
}
