//! `report`: a stored document in another form.

use tidemill_shell::exit::{Exit, Failure};

use super::bad_input;
use crate::args::Report;
use crate::report::{Document, text, write};
use crate::surroundings::{Surroundings, print};

pub(super) fn report(args: &Report, surroundings: &Surroundings) -> Result<Exit, Failure> {
    let mut document = Document::read(&args.file).map_err(bad_input)?;
    let wanted = &args.reports;
    if let Some(label) = &wanted.label {
        document.label = Some(label.clone());
    }
    if wanted.is_empty() && !surroundings.quiet {
        print(&text(&document, surroundings.colours()));
    }
    write(&document, wanted).map_err(bad_input)?;
    Ok(Exit::COMPLETE)
}
