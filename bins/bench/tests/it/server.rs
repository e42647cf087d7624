//! A server with a thread a connection: `/` answers after its delay, `/fail` with 500, `/half` fails every other time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Serves for as long as the process lives; gives the address.
pub(crate) fn start(delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || serve(&listener, delay));
    url
}

/// Serves on a port that somebody chose.
pub(crate) fn serve(listener: &TcpListener, delay: Duration) {
    for socket in listener.incoming().flatten() {
        std::thread::spawn(move || connection(&socket, delay));
    }
}

/// Ends with the connection.
fn connection(socket: &TcpStream, delay: Duration) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    let mut lines = BufReader::new(socket).lines();
    for request in 0_u64.. {
        let first = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        std::thread::sleep(delay);
        let fails = first.contains("/fail") || first.contains("/half") && request % 2 == 1;
        let status = if fails { "500 Internal Server Error" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\nhello");
        (&mut &*socket).write_all(answer.as_bytes()).ok()?;
    }
    None
}
