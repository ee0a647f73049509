//! One connection, as capnp-rpc sees it: a network of two.
//!
//! capnp-rpc brings one of its own, which would do on a friendly network. This one bounds what it takes (see
//! `frame` and `meter`), ends when it is told to, and writes everything that was queued in one turn of the thread
//! at once: each call is three messages, and to flush each of them would cost more than what they say.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{self, IoSlice},
    rc::{Rc, Weak},
    time::Duration,
};

use capnp::{
    Error, Result, any_pointer,
    capability::Promise,
    message::{Builder, HeapAllocator},
    serialize,
};
use capnp_rpc::{
    Connection, IncomingMessage, OutgoingMessage, VatNetwork, rpc_capnp::message, rpc_twoparty_capnp::Side,
};
use futures::channel::oneshot;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, WriteHalf},
    sync::Notify,
    time::timeout,
};

use super::{
    budget::Budget,
    frame::{self, Allowance, Frame},
    manners,
    meter::Meter,
    turnstile::{Passage, Turnstile},
};

/// How much is read ahead. Longer frames pass it by.
const READ_BYTES: usize = 8 << 10;

/// How much of the memory for writing is kept from one turn to the next.
const KEPT_BYTES: usize = 256 << 10;

/// A message of more than this is written from where it is, and not copied to the others first.
const LONG_BYTES: usize = 32 << 10;

/// How a connection is to be read and written.
#[derive(Clone)]
pub(super) struct Terms {
    pub side: Side,
    /// How long a frame may take, on its way in or out.
    pub frame_time: Duration,
    /// What is free for everybody in a frame, in bytes.
    pub free_bytes: usize,
    /// Where the rest comes from; `None`: who is there is trusted.
    pub budget: Option<Budget>,
    /// Where frames queue; `None`: who is there is trusted.
    pub turnstile: Option<Turnstile>,
}

/// A network of two.
pub(super) struct Vat {
    side: Side,
    /// Given away at the first `accept` or `connect`.
    inner: Option<Rc<Inner>>,
    weak: Weak<Inner>,
    driver: Option<Promise<(), Error>>,
}

struct Inner {
    meter: Meter,
    terms: Terms,
    source: RefCell<Option<Source>>,
    passage: Option<Passage>,
    outbox: Rc<Outbox>,
    /// Gone with the connection.
    _over: oneshot::Sender<()>,
}

type Source = Box<dyn AsyncRead + Unpin>;
type Outgoing = Rc<Builder<HeapAllocator>>;

/// What waits to be written.
#[derive(Default)]
struct Outbox {
    queue: RefCell<VecDeque<Outgoing>>,
    /// Whether nothing more comes.
    closed: Cell<bool>,
    /// Whether everything was written, or can't be.
    done: Cell<bool>,
    /// Something came, or nothing more does.
    rung: Notify,
    finished: Notify,
}

impl Vat {
    /// A connection over this stream.
    pub(super) fn new<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        stream: S,
        meter: Meter,
        terms: Terms,
    ) -> Vat {
        let (reading, writing) = tokio::io::split(stream);
        let (over, is_over) = oneshot::channel();
        let outbox = Rc::<Outbox>::default();
        let driver = drive(writing, outbox.clone(), meter.clone(), terms.frame_time, is_over);
        let inner = Rc::new(Inner {
            source: RefCell::new(Some(Box::new(BufReader::with_capacity(READ_BYTES, reading)))),
            passage: terms.turnstile.as_ref().map(Turnstile::passage),
            meter,
            terms: terms.clone(),
            outbox,
            _over: over,
        });
        let weak = Rc::downgrade(&inner);
        let driver = Some(Promise::from_future(driver));
        Vat { side: terms.side, inner: Some(inner), weak, driver }
    }
}

impl VatNetwork<Side> for Vat {
    fn connect(&mut self, host: Side) -> Option<Box<dyn Connection<Side>>> {
        let inner = self.weak.upgrade().filter(|_| host != self.side)?;
        Some(Box::new(Link(inner)))
    }

    fn accept(&mut self) -> Promise<Box<dyn Connection<Side>>, Error> {
        match self.inner.take() {
            Some(inner) => Promise::ok(Box::new(Link(inner)) as Box<dyn Connection<Side>>),
            None => Promise::from_future(std::future::pending()),
        }
    }

    fn drive_until_shutdown(&mut self) -> Promise<(), Error> {
        self.driver.take().unwrap_or_else(|| Promise::ok(()))
    }
}

/// Writes what is queued, until the connection is gone.
async fn drive<S: AsyncWrite>(
    mut to: WriteHalf<S>,
    outbox: Rc<Outbox>,
    meter: Meter,
    patience: Duration,
    is_over: oneshot::Receiver<()>,
) -> Result<()> {
    let written = write_all(&mut to, &outbox, &meter, patience).await;
    if let Err(error) = &written {
        meter.end(error.to_string());
    }
    outbox.done.set(true);
    outbox.finished.notify_waiters();
    // Nobody has to be told: the other side sees it, or is gone.
    let _ = timeout(patience, to.shutdown()).await;
    // The RPC system goes when this ends, and has to fail what is under way before.
    let _ = is_over.await;
    match written {
        Ok(()) => Ok(()),
        Err(error) => Err(Error::disconnected(error.to_string())),
    }
}

async fn write_all<S: AsyncWrite>(
    to: &mut WriteHalf<S>,
    outbox: &Outbox,
    meter: &Meter,
    patience: Duration,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        bytes.shrink_to(KEPT_BYTES);
        let rung = outbox.rung.notified();
        let batch = std::mem::take(&mut *outbox.queue.borrow_mut());
        if batch.is_empty() {
            if outbox.closed.get() || meter.ended().is_some() {
                return Ok(());
            }
            tokio::select! {
                () = rung => {}
                _ = meter.until_ended() => return Ok(()),
            }
            continue;
        }
        let mut batch = batch.into_iter();
        let mut long = None;
        while bytes.len() < KEPT_BYTES
            && long.is_none()
            && let Some(message) = batch.next()
        {
            let segments = message.get_segments_for_output();
            put_table(&segments, &mut bytes);
            match segments.iter().map(|segment| segment.len()).sum::<usize>() <= LONG_BYTES {
                true => segments.iter().for_each(|segment| bytes.extend_from_slice(segment)),
                false => long = Some(message.clone()),
            }
        }
        // What is left goes in front of what has come since.
        batch.rev().for_each(|message| outbox.queue.borrow_mut().push_front(message));
        let segments = long.as_ref().map(|message| message.get_segments_for_output());
        let segments = segments.iter().flat_map(|segments| segments.iter());
        let mut pieces: Vec<_> = segments.map(|segment| IoSlice::new(segment)).collect();
        pieces.insert(0, IoSlice::new(&bytes));
        let mut rest = &mut pieces[..];
        while !rest.is_empty() {
            let write = timeout(patience, to.write_vectored(rest));
            let count = tokio::select! {
                count = write => count.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nobody reads the answers"))??,
                why = meter.until_ended() => return Err(io::Error::other(why)),
            };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            meter.written(count);
            IoSlice::advance_slices(&mut rest, count);
        }
        to.flush().await?;
    }
}

/// Puts what stands in front of a message: how many segments it has, less one, and how many words each has, padded to
/// whole words.
fn put_table(segments: &[&[u8]], into: &mut Vec<u8>) {
    let numbers = segments.iter().map(|segment| segment.len() / 8);
    for number in std::iter::once(segments.len().saturating_sub(1)).chain(numbers) {
        into.extend_from_slice(&(number as u32).to_le_bytes());
    }
    into.resize(into.len().next_multiple_of(8), 0);
}

/// The connection itself.
struct Link(Rc<Inner>);

impl Connection<Side> for Link {
    fn get_peer_vat_id(&self) -> Side {
        match self.0.terms.side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    fn new_outgoing_message(&mut self, first_segment_words: u32) -> Box<dyn OutgoingMessage> {
        let words = self.0.meter.take_expected_words().unwrap_or(first_segment_words);
        let allocator = HeapAllocator::new().first_segment_words(words);
        let (meter, outbox) = (self.0.meter.clone(), self.0.outbox.clone());
        Box::new(Letter { message: Builder::new(allocator), meter, outbox })
    }

    fn receive_incoming_message(&mut self) -> Promise<Option<Box<dyn IncomingMessage>>, Error> {
        let inner = self.0.clone();
        Promise::from_future(async move {
            let Some(mut source) = inner.source.borrow_mut().take() else {
                return Err(Error::failed("a connection is read by one".into()));
            };
            let meter = &inner.meter;
            let frame = tokio::select! {
                biased;
                why = meter.until_ended() => return Err(Error::disconnected(why)),
                frame = receive(&mut source, &inner) => frame,
            };
            let frame = frame.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => Error::failed(error.to_string()),
                _ => Error::disconnected(error.to_string()),
            });
            // What is malformed is told before the connection ends; of what is broken nobody can be told.
            match &frame {
                Err(error) if error.kind == capnp::ErrorKind::Disconnected => meter.end(error.extra.clone()),
                Err(error) => meter.refuse(error.extra.clone()),
                Ok(_) => {}
            }
            *inner.source.borrow_mut() = Some(source);
            Ok(frame?.map(|frame| Box::new(Came(frame)) as Box<dyn IncomingMessage>))
        })
    }

    fn shutdown(&mut self, _: Result<()>) -> Promise<(), Error> {
        let outbox = self.0.outbox.clone();
        outbox.closed.set(true);
        outbox.rung.notify_one();
        Promise::from_future(async move {
            let finished = outbox.finished.notified();
            if !outbox.done.get() {
                finished.await;
            }
            Ok(())
        })
    }
}

async fn receive(source: &mut Source, inner: &Inner) -> io::Result<Option<Frame>> {
    let (meter, terms) = (&inner.meter, &inner.terms);
    meter.room().await;
    let allowance = Allowance {
        bytes_max: &|| meter.bounds().frame_bytes,
        free_bytes: terms.free_bytes,
        // What clients do must not hold up what peers say.
        budget: terms.budget.as_ref().filter(|_| !meter.is_trusted()),
        passage: inner.passage.as_ref().filter(|_| !meter.is_trusted()),
        time: terms.frame_time,
    };
    let Some(frame) = frame::read(source, &allowance).await? else { return Ok(None) };
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let root: message::Reader<'_> = frame.message.get_root().map_err(|error| invalid(error.to_string()))?;
    manners::check(root).map_err(invalid)?;
    meter.came(root).map_err(invalid)?;
    if let Some(passage) = inner.passage.as_ref().filter(|_| !meter.is_trusted()) {
        passage.pass().await;
    }
    Ok(Some(frame))
}

/// A message that came.
struct Came(Frame);

impl IncomingMessage for Came {
    fn get_body(&self) -> Result<any_pointer::Reader<'_>> {
        self.0.message.get_root()
    }
}

/// A message that is being written.
struct Letter {
    message: Builder<HeapAllocator>,
    meter: Meter,
    outbox: Rc<Outbox>,
}

impl OutgoingMessage for Letter {
    fn get_body(&mut self) -> Result<any_pointer::Builder<'_>> {
        self.message.get_root()
    }

    fn get_body_as_reader(&self) -> Result<any_pointer::Reader<'_>> {
        self.message.get_root_as_reader()
    }

    fn send(self: Box<Self>) -> (Promise<(), Error>, Outgoing) {
        let Letter { message, meter, outbox } = *self;
        let bytes = message_bytes(&message);
        if let Ok(root) = message.get_root_as_reader::<message::Reader<'_>>() {
            meter.queued(root, bytes);
        }
        let message = Rc::new(message);
        outbox.queue.borrow_mut().push_back(message.clone());
        outbox.rung.notify_one();
        (Promise::ok(()), message)
    }

    fn take(self: Box<Self>) -> Builder<HeapAllocator> {
        self.message
    }

    fn size_in_words(&self) -> usize {
        self.message.size_in_words()
    }
}

fn message_bytes(message: &Builder<HeapAllocator>) -> usize {
    serialize::compute_serialized_size_in_words(message) * 8
}
