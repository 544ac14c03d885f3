import { useQueryClient } from '@tanstack/react-query';
import { Outlet } from '@tanstack/react-router';
import { useRefused } from '../api/auth';
import { TokenPage } from '../pages/TokenPage';
import { TopBar } from './TopBar';

export function Layout() {
  const refused = useRefused();
  const client = useQueryClient();
  return (
    <>
      <TopBar />
      {refused ? <TokenPage onToken={() => void client.resetQueries()} /> : <Outlet />}
    </>
  );
}
