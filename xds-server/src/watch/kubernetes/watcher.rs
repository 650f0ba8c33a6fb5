//! One watch: lists, then follows, for ever. It decides nothing but when to try again; what it hears becomes
//! [`Report`]s.

use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt, AsyncReadExt};
use http::Request;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use tokio::sync::mpsc;

use super::backoff::Backoff;
use super::gather::Report;
use super::target::Target;
use super::wire::{self, Item, Told};
use crate::apiserver::{ApiServer, Cause, Failure};

/// How long the API server is asked to keep a watch open, in seconds, and what is added at random.
const WATCH: (u32, u32) = (240, 50);
/// A watch that ended after so long did its work.
const WORKED: Duration = Duration::from_secs(5);
/// Bytes of a line of a watch, and of a page of a list: an object is at most 1.5 MiB at the API server.
const LINE: u64 = 16 << 20;
const PAGE: u64 = 512 << 20;
/// Answers in a row that say that a kind does not exist, or is forbidden, before that is believed: an API server
/// that has just begun may say so for a moment.
const ANSWERS: u32 = 4;
/// And for how long it must have said so of a kind that it did have.
const VANISHED: Duration = Duration::from_secs(60);

/// A watch, with where its reports go.
pub(super) struct Watcher {
    api: ApiServer,
    target: Target,
    index: usize,
    reports: mpsc::Sender<(usize, Report)>,
    backoff: Backoff,
    /// Of watches that end as soon as they began, though lists work.
    short: Backoff,
    /// Since when every answer was that the kind does not exist, and how many there were.
    missing: Option<(Instant, u32)>,
    forbidden: u32,
    listed: bool,
}

/// Whoever takes the reports is gone.
struct Ended;

/// Why a watch is over.
enum Over {
    /// It came to its end, or to that of its connection: it goes on from where it was.
    Closed,
    /// It cannot go on from where it was.
    Relist,
    /// It failed.
    Failed(Failure),
}

impl Watcher {
    pub(super) fn new(api: ApiServer, target: Target, index: usize, reports: mpsc::Sender<(usize, Report)>) -> Self {
        let (backoff, short) = (Backoff::default(), Backoff::default());
        Self { api, target, index, reports, backoff, short, missing: None, forbidden: 0, listed: false }
    }

    /// Runs until nobody takes its reports.
    pub(super) async fn run(mut self) {
        let Ended = self.follow().await;
    }

    async fn follow(&mut self) -> Ended {
        loop {
            match self.list().await {
                Ok((version, items, mut since)) => {
                    (self.listed, self.missing, self.forbidden) = (true, None, 0);
                    self.backoff.reset();
                    if let Err(ended) = self.tell(Report::Listed(items, since.clone())).await {
                        return ended;
                    }
                    if let Err(ended) = self.watch_on(version, &mut since).await {
                        return ended;
                    }
                }
                Err(failure) => {
                    if let Err(ended) = self.failed(failure).await {
                        return ended;
                    }
                }
            }
        }
    }

    /// Watches again and again, until a list is needed.
    async fn watch_on(&mut self, version: &str, since: &mut String) -> Result<(), Ended> {
        loop {
            let begun = Instant::now();
            let over = self.watch(version, since).await?;
            if begun.elapsed() > WORKED {
                self.backoff.reset();
                self.short.reset();
            }
            match over {
                Over::Closed if begun.elapsed() > WORKED => {}
                Over::Closed => tokio::time::sleep(self.short.next(rand::random(), None)).await,
                Over::Relist => {
                    tokio::time::sleep(self.short.next(rand::random(), None)).await;
                    return Ok(());
                }
                Over::Failed(failure) => {
                    // The rest is better understood from the answer to a list.
                    let goes_on = matches!(failure.cause(), Cause::Unreachable | Cause::Slow | Cause::Busy);
                    self.failed(failure).await?;
                    if !goes_on {
                        tokio::time::sleep(self.short.next(rand::random(), None)).await;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Everything that there is: the API's version that has it, the objects, and the list's version.
    async fn list(&self) -> Result<(&'static str, Vec<Item>, String), Failure> {
        let mut last = Failure::unreadable(&"no version to ask for");
        for version in self.target.kind.versions() {
            let mut answer = self.pages(version, false).await;
            if answer.as_ref().is_err_and(|failure| failure.cause() == Cause::Gone) {
                // The API server lost its place between two pages.
                answer = self.pages(version, true).await;
            }
            match answer {
                Ok((items, at)) => return Ok((version, items, at)),
                Err(failure) if failure.cause() == Cause::NotFound => last = failure,
                Err(failure) => return Err(failure),
            }
        }
        Err(last)
    }

    async fn pages(&self, version: &str, whole: bool) -> Result<(Vec<Item>, String), Failure> {
        let (mut items, mut next) = (Vec::new(), None::<String>);
        loop {
            let request = self.request(&self.target.list(version, next.as_deref(), whole), true)?;
            let stream = self.api.client().request_stream(request);
            let page = async { Ok(read_page(stream.await?).await) };
            let bytes = self.api.ask(page).await??;
            let page = wire::page(self.target.kind, &bytes)?;
            items.extend(page.items);
            match page.next {
                Some(more) => next = Some(more),
                None => return Ok((items, page.version)),
            }
        }
    }

    /// One watch from `since`, which moves on with it.
    async fn watch(&mut self, version: &str, since: &mut String) -> Result<Over, Ended> {
        let seconds = WATCH.0 + rand::random_range(0..WATCH.1);
        let request = match self.request(&self.target.watch(version, since, seconds), false) {
            Ok(request) => request,
            Err(failure) => return Ok(Over::Failed(failure)),
        };
        let begun = Instant::now();
        let mut stream = match self.api.watches().request_stream(request).await {
            Ok(stream) => stream,
            Err(error) => {
                let failure = Failure::of(&error);
                return Ok(match failure.cause() {
                    Cause::Gone => Over::Relist,
                    // It never answered: a list shows whether the API server is there.
                    Cause::Unreachable if begun.elapsed() > WORKED => Over::Relist,
                    _ => Over::Failed(failure),
                });
            }
        };
        self.tell(Report::Working).await?;
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut stream).take(LINE).read_until(b'\n', &mut line).await {
                Ok(0) => return Ok(Over::Closed),
                Ok(_) if line.last() != Some(&b'\n') => {
                    let cut = line.len() as u64 >= LINE;
                    return Ok(if cut {
                        Over::Failed(Failure::unreadable(&"a line is too long"))
                    } else {
                        Over::Closed
                    });
                }
                Ok(_) => {}
                Err(error) if begun.elapsed() > WORKED => {
                    tracing::debug!(%error, kind = self.target.kind.name(), "a watch ended early");
                    return Ok(Over::Closed);
                }
                Err(error) => return Ok(Over::Failed(Failure::unreachable(&error))),
            }
            let report = match wire::line(self.target.kind, &line) {
                Ok(Told::Put(item)) => Report::Changed(item),
                Ok(Told::Gone(key, version)) => Report::Gone(key, version),
                Ok(Told::Bookmark(version)) => Report::Bookmark(version),
                Ok(Told::Failed(failure)) if failure.cause() == Cause::Gone => return Ok(Over::Relist),
                Ok(Told::Failed(failure)) | Err(failure) => return Ok(Over::Failed(failure)),
                Ok(Told::Unknown) => continue,
            };
            self.backoff.reset();
            self.short.reset();
            let (Report::Changed(Item { version, .. }) | Report::Gone(_, version) | Report::Bookmark(version)) =
                &report
            else {
                continue;
            };
            since.clone_from(version);
            self.tell(report).await?;
        }
    }

    fn request(&self, target: &str, list: bool) -> Result<Request<Vec<u8>>, Failure> {
        let request = Request::get(target).header(ACCEPT, self.target.accept(list));
        // A watch that is compressed event by event is not read as it comes.
        let request = if list { request } else { request.header(ACCEPT_ENCODING, "identity") };
        request.body(Vec::new()).map_err(|error| Failure::of(&kube::Error::HttpError(error)))
    }

    /// Tells of a failure, where it is believed, and waits.
    async fn failed(&mut self, failure: Failure) -> Result<(), Ended> {
        let asked = failure.retry_after();
        let cause = failure.cause();
        self.forbidden = if cause == Cause::Forbidden { self.forbidden + 1 } else { 0 };
        if cause == Cause::NotFound {
            let (since, answers) = self.missing.get_or_insert((Instant::now(), 0));
            *answers += 1;
            let patience = if self.listed { VANISHED } else { Duration::ZERO };
            if *answers >= ANSWERS && since.elapsed() >= patience {
                self.listed = false;
                self.tell(Report::Missing).await?;
            }
        } else {
            self.missing = None;
            // One cut connection is nothing to tell of.
            let told = match cause {
                Cause::Forbidden => self.forbidden >= ANSWERS,
                _ => !self.listed || self.backoff.failures() > 0,
            };
            if told {
                self.tell(Report::Failing(failure)).await?;
            }
        }
        tokio::time::sleep(self.backoff.next(rand::random(), asked)).await;
        Ok(())
    }

    async fn tell(&self, report: Report) -> Result<(), Ended> {
        self.reports.send((self.index, report)).await.map_err(|_| Ended)
    }
}

async fn read_page(stream: impl futures::AsyncBufRead) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let stream = std::pin::pin!(stream);
    stream.take(PAGE).read_to_end(&mut bytes).await.map_err(|error| Failure::unreachable(&error))?;
    if bytes.len() as u64 == PAGE {
        return Err(Failure::unreadable(&"a page of a list is too long"));
    }
    Ok(bytes)
}
