//! A proxy between a `Db` and its server that cuts one connection, at a statement of the test's choice.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, mpsc::Receiver},
    thread,
};

/// What becomes of the first statement that contains the text.
pub(crate) enum Fault {
    /// It never arrives.
    LoseRequest,
    /// It arrives, and the client's connection is cut when the server answers.
    LoseReply,
    /// It arrives, and the client's connection is cut at once.
    Cut,
    /// The client's connection is cut, and it arrives when the sender is used or dropped.
    Delay(Receiver<()>),
}

struct Plan {
    text: &'static str,
    fault: Fault,
}

/// The proxy. Its threads end with the connections that they serve.
pub(crate) struct Proxy {
    url: String,
    server: Arc<Mutex<String>>,
    plan: Arc<Mutex<Option<Plan>>>,
}

impl Proxy {
    /// Listens, in front of the server of a URL.
    pub(crate) fn before(url: &str) -> Self {
        let (user, rest) = url.strip_prefix("postgres://").unwrap().rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("postgres://{user}@{address}/{database}?sslmode=disable");
        let plan = Arc::new(Mutex::new(None));
        let server = Arc::new(Mutex::new(server.to_owned()));
        let (target, shared) = (Arc::clone(&server), Arc::clone(&plan));
        thread::spawn(move || {
            for client in listener.incoming() {
                let server = target.lock().unwrap().clone();
                let (Ok(client), Ok(server)) = (client, Socket::connect(&server)) else { return };
                let plan = Arc::clone(&shared);
                thread::spawn(move || serve(&Socket::Tcp(client), &server, &plan));
            }
        });
        Self { url, server, plan }
    }

    /// Leads further connections to the server of another URL.
    pub(crate) fn redirect(&self, url: &str) {
        let (_, rest) = url.rsplit_once('@').unwrap();
        *self.server.lock().unwrap() = rest.split_once('/').unwrap().0.to_owned();
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Plans a fault for the next message that holds this text.
    pub(crate) fn plan(&self, fault: Fault, text: &'static str) {
        *self.plan.lock().unwrap() = Some(Plan { text, fault });
    }
}

/// Passes on what comes from both sides, until one of them is cut.
fn serve(client: &Socket, server: &Socket, plan: &Mutex<Option<Plan>>) {
    let replies_lost = Mutex::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = pass_on(server, client, |_| match *replies_lost.lock().unwrap() {
                true => Next::Stop,
                false => Next::Pass,
            });
            client.shut_down(Shutdown::Both);
            // A server that could not send what it owes to earlier statements would end before it
            // comes to the one in question.
            while server.read(&mut [0; 1 << 12]).is_ok_and(|length| length > 0) {}
        });
        let _ = pass_on(client, server, |bytes| match take(plan, bytes) {
            None => Next::Pass,
            Some(Plan { fault, .. }) => match fault {
                Fault::LoseRequest => Next::Stop,
                Fault::LoseReply => {
                    *replies_lost.lock().unwrap() = true;
                    Next::Pass
                }
                Fault::Cut => Next::PassAndStop,
                Fault::Delay(release) => {
                    client.shut_down(Shutdown::Both);
                    // An error means that it was dropped.
                    let _ = release.recv();
                    Next::PassAndStop
                }
            },
        });
        client.shut_down(Shutdown::Both);
        // What was passed on arrives before the end does.
        server.shut_down(Shutdown::Write);
    });
}

/// The planned fault, if these bytes are what it is planned for.
fn take(plan: &Mutex<Option<Plan>>, bytes: &[u8]) -> Option<Plan> {
    let mut plan = plan.lock().unwrap();
    let text = plan.as_ref()?.text.as_bytes();
    if bytes.windows(text.len()).any(|window| window == text) { plan.take() } else { None }
}

enum Next {
    Pass,
    PassAndStop,
    Stop,
}

fn pass_on(from: &Socket, to: &Socket, mut next: impl FnMut(&[u8]) -> Next) -> io::Result<()> {
    let mut buffer = [0; 1 << 16];
    loop {
        let length = from.read(&mut buffer)?;
        let bytes = &buffer[..length];
        let next = if length == 0 { Next::Stop } else { next(bytes) };
        if let Next::Pass | Next::PassAndStop = next {
            to.write(bytes)?;
        }
        if let Next::Stop | Next::PassAndStop = next {
            return Ok(());
        }
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects to `host:port`, or to a socket in a folder that is given as the host, encoded.
    fn connect(server: &str) -> io::Result<Self> {
        let (host, port) = server.rsplit_once(':').unwrap();
        if !host.contains('%') {
            return Ok(Self::Tcp(TcpStream::connect(server)?));
        }
        let folder = host.replace("%2F", "/").replace("%2D", "-").replace("%2E", ".");
        Ok(Self::Unix(UnixStream::connect(format!("{folder}/.s.PGSQL.{port}"))?))
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => Read::read(&mut &*socket, buffer),
            Self::Unix(socket) => Read::read(&mut &*socket, buffer),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => Write::write_all(&mut &*socket, bytes),
            Self::Unix(socket) => Write::write_all(&mut &*socket, bytes),
        }
    }

    fn shut_down(&self, how: Shutdown) {
        // The other side may have closed it already.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(how),
            Self::Unix(socket) => socket.shutdown(how),
        };
    }
}
