import { useEffect, useId, useMemo, useRef, useState, type ReactNode } from 'react';

export interface Option {
  value: string;
  /** Shown instead of the value. */
  label?: ReactNode;
  detail?: ReactNode;
  /** Choosing it goes on with typing instead of ending it. */
  more?: boolean;
}

interface Props {
  label: string;
  placeholder: string;
  value: string;
  options: Option[];
  /** Typed text to take as it is; else Enter takes the first option that fits, and the text only when none does. */
  accepts?: (text: string) => boolean;
  /** Empties the box after a choice. */
  clearing?: boolean;
  loading?: boolean;
  className?: string;
  note?: ReactNode;
  /** Options that already fit the text, so they are not filtered again. */
  filtered?: boolean;
  onText?: (text: string) => void;
  onChoose: (value: string) => void;
}

const SHOWN_MAX = 200;

/** An input with suggestions, after the ARIA combobox pattern. */
export function Combobox(props: Props) {
  const { label, placeholder, value, options, accepts, clearing, loading, note, onText, onChoose } = props;
  const id = useId();
  const [text, setText] = useState<string | null>(null);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const list = useRef<HTMLUListElement>(null);

  const shown = useMemo(() => {
    if (props.filtered || text === null || text === '') return options.slice(0, SHOWN_MAX);
    const wanted = text.toLowerCase();
    return options.filter((o) => o.value.toLowerCase().includes(wanted)).slice(0, SHOWN_MAX);
  }, [options, text, props.filtered]);

  useEffect(() => {
    if (open && active >= 0) list.current?.children[active]?.scrollIntoView({ block: 'nearest' });
  }, [open, active]);

  const edit = (next: string | null) => {
    setText(next);
    setActive(-1);
    onText?.(next ?? '');
  };
  const close = () => {
    setOpen(false);
    setActive(-1);
  };
  const choose = (option: Option) => {
    if (option.more) return edit(option.value);
    onChoose(option.value);
    edit(clearing ? '' : null);
    close();
  };
  const commit = (how: 'enter' | 'blur') => {
    if (text === null || (text === '' && clearing)) return;
    const exact = text === '' || accepts?.(text) || options.some((o) => o.value === text && !o.more);
    if (exact || (shown.length === 0 && !accepts)) choose({ value: text });
    else if (how === 'enter' && shown.length > 0) choose(shown[0]);
    else if (how === 'blur') edit(null);
  };

  const onKeyDown = (e: React.KeyboardEvent) => {
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
      e.preventDefault();
      setOpen(true);
      const step = e.key === 'ArrowDown' ? 1 : -1;
      setActive((a) => (shown.length === 0 ? -1 : (a + step + shown.length + (a < 0 && step < 0 ? 1 : 0)) % shown.length));
    } else if (e.key === 'Enter') {
      e.preventDefault();
      if (open && shown[active]) choose(shown[active]);
      else commit('enter');
    } else if (e.key === 'Escape' && open) {
      e.preventDefault();
      e.stopPropagation();
      edit(clearing ? '' : null);
      close();
    }
  };

  return (
    <div className={`combobox ${props.className ?? ''}`}>
      <input
        className="input"
        role="combobox"
        aria-label={label}
        aria-expanded={open}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={open && active >= 0 ? `${id}-${active}` : undefined}
        placeholder={placeholder}
        spellCheck={false}
        autoComplete="off"
        value={text ?? value}
        onChange={(e) => {
          edit(e.target.value);
          setOpen(true);
        }}
        onFocus={(e) => {
          setOpen(true);
          e.currentTarget.select();
        }}
        onClick={() => setOpen(true)}
        onBlur={() => {
          if (!clearing) commit('blur');
          close();
        }}
        onKeyDown={onKeyDown}
      />
      {value !== '' && !clearing && (
        <button type="button" className="input-clear" aria-label={`Clear ${label.toLowerCase()}`} onClick={() => choose({ value: '' })}>×</button>
      )}
      {open && (
        <div className="menu">
          <ul ref={list} id={`${id}-list`} role="listbox" aria-label={label}>
            {shown.map((option, i) => (
              <li
                key={option.value + i}
                id={`${id}-${i}`}
                role="option"
                aria-selected={option.value === value}
                className={i === active ? 'menu-item menu-item-active' : 'menu-item'}
                onPointerDown={(e) => e.preventDefault()}
                onClick={() => choose(option)}
              >
                <span className="menu-text">{option.label ?? option.value}</span>
                {option.detail !== undefined && <span className="menu-detail">{option.detail}</span>}
              </li>
            ))}
          </ul>
          {shown.length === 0 && <div className="menu-note">{loading ? 'Loading…' : !accepts || accepts(text ?? '') ? 'No suggestion; Enter takes the text' : 'Nothing fits'}</div>}
          {note && <div className="menu-note">{note}</div>}
        </div>
      )}
    </div>
  );
}
