import { ErrorIcon } from './icons';

/** A service's name with its colour. The colour's number comes from model/color. */
export function Service({ name, color, count, errors = 0 }: { name: string; color: number; count?: number; errors?: number }) {
  return (
    <span className="service" title={count === undefined ? name : `${name}: ${count} spans${errors ? `, ${errors} errors` : ''}`}>
      <i className={`dot svc-${color}`} />
      <span className="service-name">{name}</span>
      {count !== undefined && <span className="service-count">{count.toLocaleString('en')}</span>}
      {errors > 0 && <span className="service-errors"><ErrorIcon />{errors.toLocaleString('en')}</span>}
    </span>
  );
}
