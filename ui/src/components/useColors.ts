import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { servicesQuery } from '../api/queries';
import { colorBook } from '../model/color';

const NONE: never[] = [];

/** The colour of a service, the same on every page. */
export function useColors(): (service: string) => number {
  const services = useQuery(servicesQuery).data ?? NONE;
  return useMemo(() => colorBook(services.map((s) => s.name)), [services]);
}
