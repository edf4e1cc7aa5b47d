//! Reads a list page by page. While the caller processes one page, the next is requested.

use std::ops::Range;
use std::time::Duration;

use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::JoinHandle;

use super::api::{Api, Failure, Target};

/// The number of objects of a page, as in `kubectl`.
const LIMIT: u32 = 500;
/// A larger page is requested again with fewer objects.
const MAX_PAGE_BYTES: usize = 32 << 20;
/// Attempts to read a page, if the failure may be temporary.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

pub struct Pages {
    api: Api,
    collection: Request,
    needs: String,
    limit: u32,
    /// The page that was requested; `None` after the last one.
    coming: Option<JoinHandle<Result<Page, Failure>>>,
}

/// A part of a list, not parsed.
pub struct Page {
    text: String,
    items: Vec<Range<usize>>,
    next: Option<String>,
    remaining: Option<usize>,
    limit: u32,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(rename = "continue", default)]
    next: Option<String>,
    #[serde(default)]
    remaining_item_count: Option<usize>,
}

impl Pages {
    /// Requests the first page.
    pub fn of(api: &Api, target: Target<'_>) -> Self {
        let mut pages = Self {
            api: api.clone(),
            collection: target.collection(),
            needs: target.permission("list"),
            limit: LIMIT,
            coming: None,
        };
        pages.ask(None);
        pages
    }

    /// Returns the next page, `None` after the last one.
    ///
    /// # Errors
    ///
    /// Returns an error if the page is unavailable. It is the last one then.
    pub async fn next(&mut self) -> Result<Option<Page>, Failure> {
        let Some(coming) = self.coming.take() else { return Ok(None) };
        let page = coming.await.map_err(|error| Failure::Broken(error.to_string()))??;
        self.limit = page.limit;
        if page.next.is_some() {
            self.ask(page.next.clone());
            // Sends the request now, and not once this page is processed.
            tokio::task::yield_now().await;
        }
        Ok(Some(page))
    }

    fn ask(&mut self, token: Option<String>) {
        let (api, collection, needs, limit) =
            (self.api.clone(), self.collection.clone(), self.needs.clone(), self.limit);
        self.coming = Some(tokio::spawn(async move { fetch(&api, &collection, &needs, limit, token).await }));
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(coming) = &self.coming {
            coming.abort();
        }
    }
}

async fn fetch(
    api: &Api,
    collection: &Request,
    needs: &str,
    mut limit: u32,
    mut token: Option<String>,
) -> Result<Page, Failure> {
    let mut attempt = 1;
    loop {
        let params = ListParams { limit: Some(limit), continue_token: token.clone(), ..ListParams::default() };
        let failure = match api.page(collection, &params, needs, MAX_PAGE_BYTES).await {
            Ok(text) => return Page::read(text, limit),
            Err(failure) => failure,
        };
        match failure {
            Failure::TooLarge(_) if limit > 1 => {
                limit = limit.div_ceil(4);
                continue;
            }
            _ if attempt == ATTEMPTS => return Err(failure),
            // The list took longer than the API server keeps an old state. With this token, the list continues after the last
            // object that was sent, in the current state. So no object is read twice.
            Failure::Expired { next: Some(next), .. } => token = Some(next),
            Failure::Broken(_) | Failure::Rejected { code: 429 | 500.., .. } => {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            _ => return Err(failure),
        }
        attempt += 1;
    }
}

impl Page {
    fn read(text: Vec<u8>, limit: u32) -> Result<Self, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::Broken(format!("invalid list: {error}"));
        let text = String::from_utf8(text).map_err(|error| broken(&error))?;
        let List { metadata, items } = serde_json::from_str(&text).map_err(|error| broken(&error))?;
        let range = |item: &RawValue| {
            let start = item.get().as_ptr() as usize - text.as_ptr() as usize;
            start..start + item.get().len()
        };
        let items = items.iter().flatten().map(|item| range(item)).collect();
        let ListMetadata { next, remaining_item_count } = metadata;
        let next = next.filter(|next| !next.is_empty());
        Ok(Self { text, items, next, remaining: remaining_item_count, limit })
    }

    /// Returns each object as JSON.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|range| &self.text[range.clone()])
    }

    /// Returns how many objects follow, if the API server reports it.
    pub fn remaining(&self) -> Option<usize> {
        match self.next {
            Some(_) => self.remaining,
            None => Some(0),
        }
    }
}

#[cfg(test)]
mod tests;
