//! From an async function to a payload, its `Task`, and a function that makes one.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{
    Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, MetaNameValue, Pat, PatIdent, Result, ReturnType, Token,
};

/// What the attribute says.
#[derive(Default)]
struct Settings {
    name: Option<String>,
    version: Option<u32>,
    queue: Option<String>,
    priority: Option<Ident>,
    max_retries: Option<u32>,
    timeout_ms: Option<u64>,
    unique: Option<Ident>,
    group: Option<Ident>,
}

pub(crate) fn expand(settings: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let settings = read(settings)?;
    let ItemFn { attrs, vis, sig, block } = syn::parse2(function)?;
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(&sig, "a task is an async function"));
    }
    if !sig.generics.params.is_empty() {
        return Err(Error::new_spanned(&sig.generics, "a task has no generics: its payload is one type"));
    }
    let ReturnType::Type(_, returned) = &sig.output else {
        return Err(Error::new_spanned(&sig, "a task returns `Result<T, TaskError>`"));
    };
    let mut inputs = sig.inputs.iter();
    let Some(FnArg::Typed(context)) = inputs.next() else {
        return Err(Error::new_spanned(&sig, "the first argument of a task is its `Context`"));
    };
    let mut names: Vec<&Ident> = Vec::new();
    let mut types = Vec::new();
    for input in inputs {
        match input {
            FnArg::Typed(argument) => match &*argument.pat {
                Pat::Ident(PatIdent { ident, by_ref: None, subpat: None, .. }) => {
                    names.push(ident);
                    types.push(&argument.ty);
                }
                other => return Err(Error::new_spanned(other, "an argument of a task is a plain name")),
            },
            FnArg::Receiver(this) => return Err(Error::new_spanned(this, "a task is no method")),
        }
    }
    let function = &sig.ident;
    let payload = camel(function);
    let name = settings.name.unwrap_or_else(|| function.to_string());
    if name.is_empty() || name.len() > 128 {
        return Err(Error::new(function.span(), "the name of a task has 1 to 128 bytes"));
    }
    let version = settings.version.unwrap_or(1);
    let mut options = Vec::new();
    if let Some(queue) = settings.queue {
        options.push(quote!(queue: ::std::string::String::from(#queue)));
    }
    if let Some(priority) = settings.priority {
        options.push(quote!(priority: ::tidemill_task_queue::Priority::#priority));
    }
    if let Some(max_retries) = settings.max_retries {
        options.push(quote!(max_retries: #max_retries));
    }
    if let Some(timeout_ms) = settings.timeout_ms {
        options.push(quote!(timeout: ::std::time::Duration::from_millis(#timeout_ms)));
    }
    let text = |method: &str, argument: Option<Ident>| -> Result<TokenStream> {
        let Some(argument) = argument else { return Ok(TokenStream::new()) };
        if !names.contains(&&argument) {
            return Err(Error::new_spanned(&argument, "is no argument of this task"));
        }
        let method = Ident::new(method, Span::call_site());
        Ok(quote! {
            fn #method(&self) -> ::std::option::Option<::std::string::String> {
                ::std::option::Option::Some(::std::string::ToString::to_string(&self.#argument))
            }
        })
    };
    let unique = text("unique_key", settings.unique)?;
    let group = text("group", settings.group)?;
    let context = (&context.pat, &context.ty);
    let (context_name, context_type) = context;
    let about = format!("The payload of the task `{name}`.");
    Ok(quote! {
        #[doc = #about]
        #[derive(::std::fmt::Debug, ::std::clone::Clone, ::tidemill_task_queue::serde::Serialize,
            ::tidemill_task_queue::serde::Deserialize)]
        #[serde(crate = "::tidemill_task_queue::serde")]
        #vis struct #payload { #(#names: #types),* }

        impl ::tidemill_task_queue::Task for #payload {
            const NAME: &'static str = #name;
            const VERSION: u32 = #version;
            type Output = <#returned as ::tidemill_task_queue::TaskResult>::Output;
            fn options() -> ::tidemill_task_queue::Options {
                ::tidemill_task_queue::Options { #(#options,)* ..::std::default::Default::default() }
            }
            #unique
            #group
        }

        impl #payload {
            /// Runs it: what a worker registers.
            #vis async fn run(self, #context_name: #context_type) -> #returned {
                let Self { #(#names),* } = self;
                #block
            }
        }

        #(#attrs)*
        #vis fn #function(#(#names: #types),*) -> #payload {
            #payload { #(#names),* }
        }
    })
}

fn read(settings: TokenStream) -> Result<Settings> {
    let mut read = Settings::default();
    let pairs = Punctuated::<MetaNameValue, Token![,]>::parse_terminated.parse2(settings)?;
    for MetaNameValue { path, value, .. } in pairs {
        let Expr::Lit(ExprLit { lit, .. }) = &value else {
            return Err(Error::new_spanned(&value, "is not a plain text or number"));
        };
        let key = path.get_ident().map(Ident::to_string).unwrap_or_default();
        match (key.as_str(), lit) {
            ("name", Lit::Str(text)) => read.name = Some(text.value()),
            ("version", Lit::Int(number)) => read.version = Some(number.base10_parse()?),
            ("queue", Lit::Str(text)) => read.queue = Some(text.value()),
            ("priority", Lit::Str(text)) => {
                let known = ["High", "Normal", "Low"]
                    .into_iter()
                    .find(|name| name.eq_ignore_ascii_case(&text.value()));
                let known = known.ok_or_else(|| Error::new_spanned(text, "is not high, normal or low"))?;
                read.priority = Some(Ident::new(known, text.span()));
            }
            ("max_retries", Lit::Int(number)) => read.max_retries = Some(number.base10_parse()?),
            ("timeout", Lit::Str(text)) => {
                let ms = millis(&text.value());
                let ms =
                    ms.ok_or_else(|| Error::new_spanned(text, "is no duration such as \"30s\" or \"5m\""))?;
                read.timeout_ms = Some(ms);
            }
            ("unique", Lit::Str(text)) => read.unique = Some(text.parse()?),
            ("group", Lit::Str(text)) => read.group = Some(text.parse()?),
            _ => {
                let known = "is not one of name, version, queue, priority, max_retries, timeout, unique, group with \
                     a fitting value";
                return Err(Error::new_spanned(&path, known));
            }
        }
    }
    Ok(read)
}

fn millis(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|ms| *ms > 0)
}

fn camel(function: &Ident) -> Ident {
    let words = function.to_string();
    let words = words.trim_start_matches("r#").split('_').filter(|word| !word.is_empty());
    let name: String = words.map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    format_ident!("{}", name, span = function.span())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(settings: &str, function: &str) -> String {
        let read = |text: &str| text.parse::<TokenStream>().unwrap();
        expand(read(settings), read(function)).map_or_else(|error| error.to_string(), |made| made.to_string())
    }

    const GOOD: &str = "async fn add_up(c: Context, a: u32) -> Result<u32, TaskError> { Ok(a) }";

    #[test]
    fn the_payload_has_the_arguments() {
        let made = says("queue = \"q\", timeout = \"2m\", unique = \"a\"", GOOD);
        for part in ["struct AddUp", "a : u32", "\"add_up\"", "from_millis (120000u64)", "unique_key"] {
            assert!(made.contains(part), "{part}: {made}");
        }
    }

    #[test]
    fn what_is_no_task_is_told() {
        for (settings, function, text) in [
            ("", "fn f(c: Context) -> Result<(), TaskError> {}", "async"),
            ("", "async fn f(c: Context) {}", "returns"),
            ("", "async fn f() -> Result<(), TaskError> {}", "Context"),
            ("", "async fn f<T>(c: Context, t: T) -> Result<(), TaskError> {}", "generics"),
            ("", "async fn f(c: Context, (a, b): (u8, u8)) -> Result<(), TaskError> {}", "plain name"),
            ("timeout = \"5\"", GOOD, "duration"),
            ("priority = \"urgent\"", GOOD, "high"),
            ("unique = \"b\"", GOOD, "no argument"),
            ("retries = 3", GOOD, "max_retries"),
            ("queue = 3", GOOD, "queue"),
        ] {
            let said = says(settings, function);
            assert!(said.contains(text), "{settings} {function}: {said}");
        }
    }
}
