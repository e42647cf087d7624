//! From an async function to a cache, the function that gives it, and one of the same name that asks it.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, format_ident, quote};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{
    Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, Meta, Pat, PatIdent, Result, ReturnType, Token, Type,
};

/// What the attribute says.
#[derive(Default)]
struct Settings {
    name: Option<String>,
    ttl_ms: Option<u64>,
    stale_ms: Option<u64>,
    capacity: Option<TokenStream>,
    weigh: Option<TokenStream>,
    skip: Vec<Ident>,
}

pub(crate) fn expand(settings: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let settings = read(settings)?;
    let ItemFn { attrs, vis, sig, block } = syn::parse2(function)?;
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(&sig, "a cached function is async"));
    }
    if sig.generics.type_params().next().is_some() || sig.generics.const_params().next().is_some() {
        return Err(Error::new_spanned(
            &sig.generics,
            "a cached function has no type parameters: its cache is one",
        ));
    }
    let ReturnType::Type(_, returned) = &sig.output else {
        return Err(Error::new_spanned(&sig, "a cached function returns a `Result`"));
    };
    let (mut names, mut own, mut key_types, mut passed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut unknown: Vec<&Ident> = settings.skip.iter().collect();
    for input in &sig.inputs {
        let FnArg::Typed(argument) = input else {
            return Err(Error::new_spanned(input, "a cached function is no method"));
        };
        let Pat::Ident(PatIdent { ident, by_ref: None, subpat: None, .. }) = &*argument.pat else {
            return Err(Error::new_spanned(
                &argument.pat,
                "an argument of a cached function is a plain name",
            ));
        };
        let skipped = settings.skip.contains(ident);
        unknown.retain(|name| *name != ident);
        match &*argument.ty {
            Type::Reference(reference) if reference.mutability.is_some() || skipped => {
                let says = "an argument that changes, or that is skipped, is owned: it goes with the load";
                return Err(Error::new_spanned(reference, says));
            }
            Type::Reference(reference) => {
                let to = &reference.elem;
                names.push(ident);
                own.push(quote!(<#to as ::std::borrow::ToOwned>::to_owned(#ident)));
                key_types.push(quote!(<#to as ::std::borrow::ToOwned>::Owned));
                passed.push(quote!(::std::borrow::Borrow::<#to>::borrow(&#ident)));
            }
            owned => {
                if !skipped {
                    names.push(ident);
                    own.push(quote!(#ident));
                    key_types.push(quote!(#owned));
                }
                passed.push(quote!(#ident));
            }
        }
    }
    if let Some(name) = unknown.first() {
        return Err(Error::new_spanned(name, "is no argument of this function"));
    }
    let (function, inputs) = (&sig.ident, &sig.inputs);
    let of_cache = format_ident!("{}_cache", function);
    let name = settings.name.unwrap_or_else(|| function.to_string());
    let mut fields = Vec::new();
    for (field, ms) in [("ttl", settings.ttl_ms), ("stale", settings.stale_ms)] {
        let field = format_ident!("{field}");
        fields.extend(ms.map(|ms| quote!(#field: ::std::time::Duration::from_millis(#ms))));
    }
    fields.extend(settings.capacity.map(|capacity| quote!(capacity: #capacity)));
    let weigh = settings.weigh.map(|weigh| quote!(.weigher(#weigh)));
    let value = quote!(<#returned as ::tidemill_cache::Fallible>::Value);
    let cache = quote!(::tidemill_cache::Cache<(#(#key_types,)*), #value>);
    let about = format!("The cache of [`{function}`], made at the first call.");
    Ok(quote! {
        #[doc = #about]
        #vis fn #of_cache() -> ::std::result::Result<&'static #cache, ::tidemill_cache::Error> {
            static CACHE: ::std::sync::OnceLock<::std::result::Result<#cache, ::tidemill_cache::Error>> =
                ::std::sync::OnceLock::new();
            let made = CACHE.get_or_init(|| {
                let config = ::tidemill_cache::Named::installed(#name).unwrap_or_else(|| {
                    ::std::result::Result::Ok(::tidemill_cache::Config {
                        #(#fields,)*
                        ..::std::default::Default::default()
                    })
                })?;
                ::tidemill_cache::Cache::builder(::tidemill_cache::Memory::builder(config)#weigh).build()
            });
            made.as_ref().map_err(::std::clone::Clone::clone)
        }

        #(#attrs)*
        #vis async fn #function(#inputs) -> ::std::result::Result<#value, ::tidemill_cache::Error> {
            async fn load(#inputs) -> #returned #block

            let key = (#(#own,)*);
            let ask = move |(#(#names,)*): (#(#key_types,)*)| async move { load(#(#passed),*).await };
            #of_cache()?.get_or_load(&key, ask).await
        }
    })
}

fn read(settings: TokenStream) -> Result<Settings> {
    let mut read = Settings::default();
    for meta in Punctuated::<Meta, Token![,]>::parse_terminated.parse2(settings)? {
        let key = meta.path().get_ident().map(Ident::to_string).unwrap_or_default();
        let known = "is not one of name, ttl, stale, capacity, weigh, skip(...) with a fitting value";
        let wrong = Error::new_spanned(meta.path(), known);
        match meta {
            Meta::List(list) if key == "skip" => {
                let names = list.parse_args_with(Punctuated::<Ident, Token![,]>::parse_terminated)?;
                read.skip = names.into_iter().collect();
            }
            Meta::NameValue(pair) => match (key.as_str(), &pair.value) {
                ("weigh", Expr::Path(weigh)) => read.weigh = Some(weigh.to_token_stream()),
                (_, Expr::Lit(ExprLit { lit, .. })) => match (key.as_str(), lit) {
                    ("name", Lit::Str(text)) => read.name = Some(text.value()),
                    ("ttl", Lit::Str(text)) => read.ttl_ms = Some(millis(text)?),
                    ("stale", Lit::Str(text)) => read.stale_ms = Some(millis(text)?),
                    ("capacity", Lit::Int(entries)) => {
                        let entries: u64 = entries.base10_parse()?;
                        read.capacity = Some(quote!(::tidemill_cache::Capacity::Entries(#entries)));
                    }
                    ("capacity", Lit::Str(text)) => {
                        let size = scaled(&text.value(), SIZES);
                        let bytes =
                            size.ok_or_else(|| Error::new_spanned(text, "is no size such as \"64MB\""))?;
                        read.capacity = Some(quote!(::tidemill_cache::Capacity::Bytes(#bytes)));
                    }
                    _ => return Err(wrong),
                },
                _ => return Err(wrong),
            },
            _ => return Err(wrong),
        }
    }
    Ok(read)
}

const TIMES: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

fn millis(text: &syn::LitStr) -> Result<u64> {
    scaled(&text.value(), TIMES)
        .ok_or_else(|| Error::new_spanned(text, "is no duration such as \"30s\" or \"5m\""))
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale).filter(|scaled| *scaled > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(settings: &str, function: &str) -> String {
        let read = |text: &str| text.parse::<TokenStream>().unwrap();
        expand(read(settings), read(function)).map_or_else(|error| error.to_string(), |made| made.to_string())
    }

    const GOOD: &str =
        "async fn price(client: Client, symbol: &str, days: u32) -> Result<f64, E> { Ok(1.0) }";

    #[test]
    fn the_key_has_the_arguments_as_they_are_owned() {
        let made = says("ttl = \"2m\", capacity = \"64MB\", weigh = bytes, skip(client)", GOOD);
        for part in [
            "(< str as :: std :: borrow :: ToOwned > :: Owned , u32 ,)",
            "from_millis (120000u64)",
            "Bytes (64000000u64)",
            "fn price_cache",
            "weigher (bytes)",
            "load (client ,",
        ] {
            assert!(made.contains(part), "{part}: {made}");
        }
    }

    #[test]
    fn what_cannot_be_cached_is_told() {
        for (settings, function, text) in [
            ("", "fn f() -> Result<(), E> {}", "async"),
            ("", "async fn f() {}", "returns"),
            ("", "async fn f<T>(t: T) -> Result<(), E> {}", "type parameters"),
            ("", "async fn f(&self) -> Result<(), E> {}", "no method"),
            ("", "async fn f((a, b): (u8, u8)) -> Result<(), E> {}", "plain name"),
            ("", "async fn f(a: &mut u8) -> Result<(), E> {}", "owned"),
            ("skip(symbol)", GOOD, "owned"),
            ("skip(other)", GOOD, "no argument"),
            ("ttl = \"5\"", GOOD, "duration"),
            ("ttl = 5", GOOD, "capacity"),
            ("capacity = \"5 bytes\"", GOOD, "size"),
            ("size = 5", GOOD, "capacity"),
        ] {
            let said = says(settings, function);
            assert!(said.contains(text), "{settings} {function}: {said}");
        }
    }
}
