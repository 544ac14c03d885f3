import { counted } from '../model/count';
import { shownService } from '../model/service';
import { ErrorIcon } from './icons';

/** A service's name with its colour. The colour's number comes from model/color. */
export function Service({ name, color, count, errors = 0 }: { name: string; color: number; count?: number; errors?: number }) {
  return (
    <span className="service" title={titleOf(shownService(name), count, errors)}>
      <i className={`dot svc-${color}`} />
      <span className="service-name">{shownService(name)}</span>
      {count !== undefined && <span className="service-count">{count.toLocaleString('en')}</span>}
      {errors > 0 && <span className="service-errors"><ErrorIcon />{errors.toLocaleString('en')}</span>}
    </span>
  );
}

function titleOf(name: string, count: number | undefined, errors: number): string {
  if (count === undefined) return name;
  return `${name}: ${counted(count, 'span')}${errors ? `, ${counted(errors, 'error')}` : ''}`;
}
