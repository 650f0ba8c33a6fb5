//! Answers to questions about usage, read from the store a page at a time.

use tokio::sync::mpsc;

use super::query::{Fold, Piece, Plan, Question, Row, Source, plan};
use super::store::{Query, Store, StoreError};

/// Rows of sums that are read at once, and rows of an answer that are handed on at once.
const PAGE: u32 = 1000;
/// Batches that are read at once; each has up to 4,096 rows.
const BATCHES: u32 = 16;
/// Pages that wait for a slow reader.
const WAITING: usize = 2;

/// Why an answer is not given, or breaks off.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was planned to be read was forgotten meanwhile, as its time was over.
    #[error("a part of the span was forgotten while it was read (its retention is over); ask again")]
    Forgotten,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// How it is answered.
    pub plan: Plan,
    /// Rows in order of time and tenant, in pages; after an error comes nothing.
    pub pages: mpsc::Receiver<Result<Vec<Row>, AnswerError>>,
}

/// Answers a question: what is read goes on in a task, no faster than the answer is taken.
///
/// # Errors
/// The store is away or fails.
pub async fn answer(store: &Store, question: Question) -> Result<Answer, StoreError> {
    let plan = plan(&question, &store.kept().await?);
    let (sender, pages) = mpsc::channel(WAITING);
    let reader = Reader { store: store.clone(), question, plan: plan.clone(), sender };
    tokio::spawn(reader.run());
    Ok(Answer { plan, pages })
}

struct Reader {
    store: Store,
    question: Question,
    plan: Plan,
    sender: mpsc::Sender<Result<Vec<Row>, AnswerError>>,
}

/// Whoever asked went away.
struct Gone;

impl Reader {
    async fn run(self) {
        if let Err(error) = self.read().await {
            // Whoever asked may be gone.
            let _ = self.sender.send(Err(error)).await;
        }
    }

    async fn read(&self) -> Result<(), AnswerError> {
        let mut fold = Fold::new(self.question.by, self.plan.span.since_ms);
        for piece in &self.plan.pieces {
            let read = match piece.source {
                Source::Batches => self.batches(piece, &mut fold).await?,
                Source::Hours | Source::Days => self.sums(piece, &mut fold).await?,
            };
            if read.is_err() {
                return Ok(());
            }
        }
        let again = plan(&self.question, &self.store.kept().await?);
        if again.pieces != self.plan.pieces {
            return Err(AnswerError::Forgotten);
        }
        // Nobody to hear it is no error.
        let _ = self.send(fold.finish()).await;
        Ok(())
    }

    async fn batches(&self, piece: &Piece, fold: &mut Fold) -> Result<Result<(), Gone>, StoreError> {
        let mut after = None;
        loop {
            let span = piece.span;
            let page = self.store.batches_between(span.since_ms, span.until_ms, after, BATCHES).await?;
            let Some(last) = page.last() else { return Ok(Ok(())) };
            after = Some((last.booked_ms, last.position));
            for stored in &page {
                let usage = stored.batch.usage.iter();
                let asked = usage.filter(|(tenant, _)| self.question.tenant.as_ref().is_none_or(|one| one == *tenant));
                let mut rows = Vec::new();
                for (tenant, units) in asked {
                    rows.append(&mut fold.add(stored.booked_ms, tenant, units));
                }
                if self.send(rows).await.is_err() {
                    return Ok(Err(Gone));
                }
            }
        }
    }

    async fn sums(&self, piece: &Piece, fold: &mut Fold) -> Result<Result<(), Gone>, StoreError> {
        let mut query = Query {
            since_ms: piece.span.since_ms,
            until_ms: piece.span.until_ms,
            tenant: self.question.tenant.clone(),
            after: None,
            limit: PAGE,
        };
        loop {
            let page = match piece.source {
                Source::Days => self.store.days(&query).await?,
                Source::Hours | Source::Batches => self.store.hours(&query).await?,
            };
            let Some(last) = page.last() else { return Ok(Ok(())) };
            query.after = Some(last.key());
            let mut rows = Vec::new();
            for row in &page {
                rows.append(&mut fold.add(row.start_ms, &row.tenant, &row.units));
            }
            if self.send(rows).await.is_err() {
                return Ok(Err(Gone));
            }
        }
    }

    async fn send(&self, rows: Vec<Row>) -> Result<(), Gone> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let page = rows.by_ref().take(PAGE as usize).collect();
            self.sender.send(Ok(page)).await.map_err(|_| Gone)?;
        }
        Ok(())
    }
}
