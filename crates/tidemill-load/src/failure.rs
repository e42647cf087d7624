//! How a request can end badly, and as which error it counts.

use std::io;

use crate::summary::Errors;

/// Why a request ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Connect,
    Sockets,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no TLS to fail"))]
    Tls,
    Timeout,
    Reset,
    Protocol,
    TooLarge,
    Status,
    Check,
}

impl Failure {
    /// Of setting up a connection.
    pub(crate) fn connecting(error: &io::Error) -> Self {
        Self::sockets(error).unwrap_or(Self::Connect)
    }

    /// Of reading or writing on one.
    pub(crate) fn moving(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Protocol,
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::sockets(error).unwrap_or(Self::Reset),
        }
    }

    /// Errors that mean this machine has no socket, port or memory for one left.
    fn sockets(error: &io::Error) -> Option<Self> {
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        const ENOBUFS: i32 = 105;
        let out = error.kind() == io::ErrorKind::AddrNotAvailable
            || matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS));
        out.then_some(Self::Sockets)
    }

    /// Whether a whole answer came, so that its time counts and the connection can be used again.
    pub(crate) fn answered(self) -> bool {
        matches!(self, Self::Status | Self::Check)
    }
}

impl Errors {
    pub(crate) fn count(&mut self, failure: Failure) {
        *match failure {
            Failure::Connect => &mut self.connect,
            Failure::Sockets => &mut self.sockets,
            Failure::Tls => &mut self.tls,
            Failure::Timeout => &mut self.timeout,
            Failure::Reset => &mut self.reset,
            Failure::Protocol => &mut self.protocol,
            Failure::TooLarge => &mut self.too_large,
            Failure::Status => &mut self.status,
            Failure::Check => &mut self.check,
        } += 1;
    }
}
