use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// One address for several servers, like that of a Service. Each connection goes to the next server that accepts it.
pub struct Balancer {
    address: SocketAddr,
    servers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
        let address = listener.local_addr()?;
        let servers = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let balanced = Arc::clone(&servers);
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let mut servers = balanced.lock().unwrap_or_else(PoisonError::into_inner);
                if !servers.is_empty() {
                    servers.rotate_left(1);
                }
                if let Some(server) = servers.iter().find_map(|server| TcpStream::connect(server).ok()) {
                    drop(connect(&client, &server));
                }
            }
        });
        Ok(Self { address, servers })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, servers: Vec<SocketAddr>) {
        *self.servers.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    }
}

/// Copies bytes in both directions until both sides have closed.
fn connect(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        to.set_nodelay(true)?;
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
