//! Which blocks a document has.

use super::super::block::Block;
use super::super::document::{Content, Document};
use super::{compared, histories, loaded, suites};

pub(crate) fn of(document: &Document) -> Vec<Block> {
    match &document.content {
        Content::Run(load) => loaded::run(&load.summary),
        Content::Search(found) => loaded::search(found),
        Content::Comparison(compared) => compared::blocks(compared),
        Content::Suite(suite) => suites::blocks(suite),
        Content::History(histories) => histories::blocks(histories),
    }
}
