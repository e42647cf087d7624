//! What is kept of an answer: only what the step's checks and extractions ask for.

/// What to keep of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Header names in lower case.
    pub(crate) headers: Vec<String>,
    pub(crate) cookies: bool,
    /// The most bytes of the body to keep; 0 keeps none.
    pub(crate) body: usize,
    /// The largest whole answer.
    pub(crate) largest: u64,
    /// Of `tcp`: how the answer ends.
    pub(crate) until: Option<Vec<u8>>,
    /// Of `tcp` without that: how long the answer is.
    pub(crate) exactly: u64,
    /// The answer to a HEAD has no body.
    pub(crate) is_head: bool,
}

/// The longest cookie line that is kept, and how many of one answer.
const LONGEST_COOKIE: usize = 4096;
const MOST_COOKIES: usize = 32;

/// One answer; its buffers are used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By the index into the wanted names; the first of each name.
    pub(crate) headers: Vec<(usize, Vec<u8>)>,
    pub(crate) cookies: Vec<Vec<u8>>,
    /// The beginning of the body.
    pub(crate) body: Vec<u8>,
    /// The length of the whole body.
    pub(crate) length: u64,
    /// All bytes received for it, head included.
    pub(crate) received: u64,
    /// All bytes sent for it.
    pub(crate) sent: u64,
}

impl Answer {
    pub(crate) fn clear(&mut self) {
        self.status = 0;
        self.headers.clear();
        self.cookies.clear();
        self.body.clear();
        (self.length, self.received, self.sent) = (0, 0, 0);
    }

    /// Keeps a header if somebody wants it.
    pub(crate) fn header(&mut self, wanted: &Wanted, name: &str, value: &[u8]) {
        for (n, header) in wanted.headers.iter().enumerate() {
            if header.eq_ignore_ascii_case(name) && self.headers.iter().all(|(kept, _)| *kept != n) {
                self.headers.push((n, value.to_vec()));
            }
        }
        if wanted.cookies && name.eq_ignore_ascii_case("set-cookie") {
            let room = self.cookies.len() < MOST_COOKIES && value.len() <= LONGEST_COOKIE;
            if room {
                self.cookies.push(value.to_vec());
            }
        }
    }

    /// Counts a piece of the body and keeps what is wanted of it.
    pub(crate) fn push(&mut self, wanted: &Wanted, piece: &[u8]) {
        self.length += piece.len() as u64;
        let room = wanted.body.saturating_sub(self.body.len()).min(piece.len());
        self.body.extend_from_slice(&piece[..room]);
    }
}
