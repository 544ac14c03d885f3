//! What stands between an exporter and its backend, and does what networks and servers do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::process::wait_until;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Nothing: it leads to the backend.
    None,
    /// Nobody listens.
    Refused,
    /// It is reset with the first bytes.
    Reset,
    /// Everything is read and nothing said.
    Silent,
    /// Nothing is even read.
    Deaf,
    /// The backend gets the request; its answer comes so much later.
    Late(Duration),
    /// The backend gets the request; of its answer so many bytes come, then the connection ends.
    Cut(u64),
    /// The same, and the connection is reset.
    CutAndReset(u64),
    /// HTTP: this is the answer.
    Says(&'static str),
}

/// Where connections lead, and what becomes of them.
#[derive(Debug, Clone, Copy)]
struct Way {
    fault: Fault,
    to: SocketAddr,
}

/// A port of its own that stays the same. A change of its fault ends all connections.
pub struct Proxy {
    /// Where it is.
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    met: Arc<AtomicU64>,
    /// Keeps the port while nobody listens.
    _bound: OwnedFd,
}

impl Proxy {
    /// In front of an address, with a fault.
    pub fn start(to: &str, fault: Fault) -> Self {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let bound = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        // So that another socket may listen on the same port.
        sockopt::set_socket_reuseaddr(&bound, true).expect("an option of sockets");
        bind(&bound, &any).expect("a port");
        let address = getsockname(&bound).expect("its address").try_into().expect("of IPv4");
        let way = Way { fault, to: to.parse().expect("an address") };
        let (way, ways) = watch::channel(way);
        let met = Arc::<AtomicU64>::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (runtime, own) = (runtime.expect("a runtime"), met.clone());
        // Ends with the sender of ways.
        std::thread::spawn(move || runtime.block_on(run(address, ways, own)));
        Self { address, way, met, _bound: bound }
    }

    /// Another fault for what comes from now on.
    pub fn set(&self, fault: Fault) {
        self.met.store(0, Ordering::Relaxed);
        self.way.send_modify(|way| way.fault = fault);
    }

    /// Another backend.
    pub fn lead_to(&self, to: &str) {
        self.way.send_modify(|way| way.to = to.parse().expect("an address"));
    }

    /// Waits until so many connections met the fault.
    pub fn wait_until_met(&self, count: u64) {
        let what = format!("{count} connections that meet {:?}", self.way.borrow().fault);
        wait_until(&what, || (self.met.load(Ordering::Relaxed) >= count).then_some(()));
    }
}

async fn run(address: SocketAddr, mut ways: watch::Receiver<Way>, met: Arc<AtomicU64>) {
    let mut listener = None;
    loop {
        let way = *ways.borrow_and_update();
        if way.fault == Fault::Refused {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.expect("the port that is kept"));
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What connects after a change meets the new fault, whichever is seen first.
            biased;
            changed = ways.changed() => if changed.is_err() { return },
            client = accepted => {
                let Ok((client, _)) = client else { continue };
                let (mut ways, met) = (ways.clone(), met.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = ways.changed() => {}
                        _ = serve(client, way, &met) => {}
                    }
                });
            }
        }
    }
}

async fn serve(mut client: TcpStream, way: Way, met: &AtomicU64) -> io::Result<()> {
    let meet = || met.fetch_add(1, Ordering::Relaxed);
    match way.fault {
        Fault::None => {
            let mut backend = TcpStream::connect(way.to).await?;
            tokio::io::copy_bidirectional(&mut client, &mut backend).await?;
        }
        Fault::Refused => {}
        Fault::Reset => {
            client.read_exact(&mut [0; 30]).await?;
            meet();
            client.set_zero_linger()?;
        }
        Fault::Silent => {
            client.read_exact(&mut [0; 30]).await?;
            meet();
            copy(&mut client, &mut tokio::io::sink()).await?;
        }
        Fault::Deaf => {
            meet();
            std::future::pending::<()>().await;
        }
        Fault::Late(by) => {
            let backend = TcpStream::connect(way.to).await?;
            let (mut client, mut to_client) = client.split();
            let (mut answer, mut backend) = backend.into_split();
            let back = async {
                answer.readable().await?;
                meet();
                tokio::time::sleep(by).await;
                copy(&mut answer, &mut to_client).await
            };
            tokio::try_join!(copy(&mut client, &mut backend), back)?;
        }
        Fault::Cut(bytes) | Fault::CutAndReset(bytes) => {
            let backend = TcpStream::connect(way.to).await?;
            let (mut answer, mut backend) = backend.into_split();
            let (mut from, mut to) = client.split();
            let back = async {
                copy(&mut (&mut answer).take(bytes), &mut to).await?;
                // What follows has come as well, so that the backend has taken the request.
                answer.read_exact(&mut [0]).await?;
                io::Result::Ok(())
            };
            tokio::select! {
                done = copy(&mut from, &mut backend) => drop(done?),
                done = back => done?,
            }
            meet();
            if matches!(way.fault, Fault::CutAndReset(_)) {
                client.set_zero_linger()?;
            }
        }
        Fault::Says(answer) => {
            read_request(&mut client).await?;
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await?;
            meet();
        }
    }
    Ok(())
}

/// A request over HTTP/1.1 whose length is told.
async fn read_request(client: &mut TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok()).expect("a length");
    copy(&mut client.take(length), &mut tokio::io::sink()).await?;
    Ok(())
}
