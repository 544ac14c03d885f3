//! HTTP/1.1 by hand, for clients that misbehave.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::PATIENCE;

pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(addr).await.unwrap(), unread: Vec::new() }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let write = self.stream.write_all(bytes.as_ref());
        tokio::time::timeout(PATIENCE, write).await.expect("written in time").unwrap();
    }

    /// Writes the head of a protobuf request; `more` are lines that end in CRLF.
    pub async fn head(&mut self, more: &str) {
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n{more}\r\n"
        );
        self.write(head).await;
    }

    /// The status of the next answer, whose body is read and forgotten.
    pub async fn status(&mut self) -> u16 {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.fill().await, "closed inside a head: {:?}", self.unread);
        };
        let head = String::from_utf8(self.unread.drain(..head_end).collect()).unwrap();
        let length: usize = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.parse().unwrap());
        while self.unread.len() < length {
            assert!(self.fill().await, "closed inside a body");
        }
        self.unread.drain(..length);
        head[9..12].parse().unwrap()
    }

    /// Tells the server that nothing more comes.
    pub async fn close_own_side(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Waits until the server has closed.
    pub async fn closed(mut self) {
        while self.fill().await {}
    }

    async fn fill(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.unread);
        match tokio::time::timeout(PATIENCE, read).await.expect("read in time") {
            Ok(read) => read > 0,
            Err(_) => false,
        }
    }
}
