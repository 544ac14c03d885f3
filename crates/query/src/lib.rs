//! Searches on a Store: what a request asks, page by page.
