//! Where servers listen: on a port, or on a socket in the file system.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// A connection without TLS.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// What a server listens on.
#[derive(Debug)]
pub enum Listener {
    /// A port.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixSocket),
}

/// A socket in the file system, which goes when this goes.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// A port.
    Tcp(SocketAddr),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Address {
    /// That of a port.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        self.tcp().is_none_or(|address| address.ip().is_loopback())
    }
}

/// `host:port`, or `unix:` and a path, as gRPC writes it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Listener {
    /// Makes a socket in the file system. One that a process left behind which is no more is taken
    /// away first.
    ///
    /// # Errors
    /// Somebody listens there, something else has the path, or the folder cannot be written to.
    pub async fn unix(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let own = fs::symlink_metadata(path)?;
                if !own.file_type().is_socket() {
                    let reason = "what has this path is no socket";
                    return Err(io::Error::new(ErrorKind::AlreadyExists, reason));
                }
                if !is_left_over(path).await {
                    return Err(error);
                }
                fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            bound => bound?,
        };
        Ok(Self::Unix(UnixSocket { listener, path: path.to_owned() }))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Tcp(listener) => Address::Tcp(listener.local_addr()?),
            Self::Unix(socket) => Address::Unix(socket.path.clone()),
        })
    }

    /// The next connection, and the address of its other end, which only ports know.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are small; waiting to fill a packet would delay them.
                let _ = stream.set_nodelay(true);
                Ok((Either::Left(stream), Some(address)))
            }
            Self::Unix(socket) => Ok((Either::Right(socket.listener.accept().await?.0), None)),
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether nobody answers on a socket.
async fn is_left_over(path: &Path) -> bool {
    let connected = UnixStream::connect(path).await;
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_taken_only_from_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("otlp.sock");
        let first = Listener::unix(&path).await.unwrap();
        let taken = Listener::unix(&path).await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).await.is_ok(), "the first goes on");
        drop(first);
        assert!(!path.exists(), "it goes with its listener");

        // As a process that is killed leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Listener::unix(&path).await.unwrap());

        fs::write(&path, "a file").unwrap();
        let other = Listener::unix(&path).await.unwrap_err();
        assert_eq!(other.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }

    #[test]
    fn addresses_are_written_as_clients_take_them() {
        let port = Address::Tcp("[::1]:4317".parse().unwrap());
        assert_eq!(port.to_string(), "[::1]:4317");
        let socket = Address::Unix("/run/otlp.sock".into());
        assert_eq!(socket.to_string(), "unix:/run/otlp.sock");
        assert!(port.is_local() && socket.is_local());
        assert!(!Address::Tcp("0.0.0.0:1".parse().unwrap()).is_local());
    }
}
