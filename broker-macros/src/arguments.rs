//! What is written in the attribute.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Error, Expr, ExprArray, Ident, LitBool, LitInt, LitStr, Path, Result, Token};

/// What is written in the attribute, as calls of the builder.
pub(crate) struct Arguments {
    /// The path of the engine.
    pub(crate) engine: Path,
    pub(crate) stream: Expr,
    pub(crate) group: Option<Expr>,
    pub(crate) message: Option<Expr>,
    /// The most messages of a batch, for a handler of batches.
    pub(crate) batch: Option<Expr>,
    /// Whether exactly one handler is to get each message.
    pub(crate) unicast: bool,
    /// `.concurrency(8)` and the like, in the order they were written.
    pub(crate) calls: TokenStream,
}

#[derive(Default)]
struct Found {
    engine: Option<Path>,
    stream: Option<Expr>,
    group: Option<Expr>,
    message: Option<Expr>,
    batch: Option<Expr>,
    unicast: bool,
    settings: Vec<(&'static str, Setting)>,
}

/// A setting's value, as it becomes an argument.
enum Setting {
    Plain(TokenStream),
    /// An item of the engine's crate.
    OfEngine(TokenStream),
    Duration(TokenStream),
    Attempts(TokenStream),
    Flags(Vec<Ident>),
    Flag,
}

impl Arguments {
    /// Reads the attribute's arguments.
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut found = Found::default();
        syn::meta::parser(|meta| found.read(&meta)).parse2(tokens)?;
        let stream = found.stream.ok_or_else(|| {
            Error::new(
                Span::call_site(),
                "the stream is missing; write `stream = \"name\"`",
            )
        })?;
        let lingers = found.settings.iter().any(|(name, _)| *name == "linger");
        if found.batch.is_none() && lingers {
            return Err(Error::new(
                Span::call_site(),
                "only a batch lingers; write `batch = 100` beside `linger`",
            ));
        }
        if found.batch.is_some() && found.unicast {
            return Err(Error::new(
                Span::call_site(),
                "a command or query is handled by itself; take `batch` away, or make it an `event`",
            ));
        }
        let engine = found
            .engine
            .unwrap_or_else(|| syn::parse_quote!(::broker::engine));
        let calls = found.settings.iter().map(|(name, setting)| {
            let name = Ident::new(name, Span::call_site());
            match setting {
                Setting::Plain(value) => quote!(.#name(#value)),
                Setting::OfEngine(value) => quote!(.#name(#engine::#value)),
                Setting::Duration(value) => quote!(.#name(::core::time::Duration::#value)),
                Setting::Attempts(value) => quote!(.#name(#engine::RetryPolicy::attempts(#value))),
                Setting::Flags(flags) => quote!(#(.#name(#engine::__private::Capabilities::#flags))*),
                Setting::Flag => quote!(.#name()),
            }
        });
        Ok(Self {
            calls: calls.collect(),
            stream,
            group: found.group,
            message: found.message,
            batch: found.batch,
            unicast: found.unicast,
            engine,
        })
    }
}

impl Found {
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let Some(name) = meta.path.get_ident().map(Ident::to_string) else {
            return Err(meta.error("a name such as `stream` is expected"));
        };
        match name.as_str() {
            "crate" => self.engine = Some(meta.value()?.parse()?),
            "stream" => self.stream = Some(meta.value()?.parse()?),
            "group" => self.group = Some(meta.value()?.parse()?),
            "message" => self.message = Some(meta.value()?.parse()?),
            "kind" => self.unicast = kind(meta)?,
            "batch" => self.batch = Some(number(meta)?),
            "linger" => self.duration("linger", meta)?,
            "broker" => self.plain("broker", meta)?,
            "concurrency" => self.number("concurrency", meta)?,
            "prefetch" => self.number("prefetch", meta)?,
            "retry" => self.plain("retry", meta)?,
            "attempts" => {
                let attempts: LitInt = meta.value()?.parse()?;
                self.settings
                    .push(("retry", Setting::Attempts(quote!(#attempts))));
            }
            "timeout" => self.duration("timeout", meta)?,
            "lease" => self.duration("lease", meta)?,
            "sequential" => self.flag("sequential", meta)?,
            "remove_group" => self.flag("remove_group_at_end", meta)?,
            "remove_stream" => self.flag("remove_stream_at_end", meta)?,
            "require" => {
                let flags = flags(&meta.value()?.parse()?)?;
                self.settings.push(("require", Setting::Flags(flags)));
            }
            "ordered_by" => self.choice(
                "ordered_by",
                meta,
                &[
                    ("key", quote!(OrderedBy::Key)),
                    ("nothing", quote!(OrderedBy::Nothing)),
                ],
            )?,
            "ack" => self.choice(
                "ack",
                meta,
                &[
                    ("on_success", quote!(AckPolicy::OnSuccess)),
                    ("each", quote!(AckPolicy::Each)),
                    ("first", quote!(AckPolicy::First)),
                    ("manual", quote!(AckPolicy::Manual)),
                ],
            )?,
            "undecodable" => self.choice(
                "on_undecodable",
                meta,
                &[
                    ("dead_letter", quote!(OnUndecodable::DeadLetter)),
                    ("skip", quote!(OnUndecodable::Skip)),
                    ("retry", quote!(OnUndecodable::Retry)),
                ],
            )?,
            "start" => self.choice(
                "start_at",
                meta,
                &[
                    ("earliest", quote!(__private::StartPosition::Earliest)),
                    ("latest", quote!(__private::StartPosition::Latest)),
                ],
            )?,
            other => {
                return Err(meta.error(format!(
                    "unknown argument `{other}`; the attribute's documentation lists them"
                )));
            }
        }
        Ok(())
    }

    fn plain(&mut self, call: &'static str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let value: Expr = meta.value()?.parse()?;
        self.settings.push((call, Setting::Plain(quote!(#value))));
        Ok(())
    }

    fn number(&mut self, call: &'static str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let value = number(meta)?;
        self.settings.push((call, Setting::Plain(quote!(#value))));
        Ok(())
    }

    fn duration(&mut self, call: &'static str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let text: LitStr = meta.value()?.parse()?;
        let duration = humantime::parse_duration(&text.value()).map_err(|error| {
            Error::new(
                text.span(),
                format!("a duration such as \"30s\" is expected: {error}"),
            )
        })?;
        let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
        self.settings
            .push((call, Setting::Duration(quote!(new(#seconds, #nanos)))));
        Ok(())
    }

    /// `sequential`, `sequential = true` or `sequential = false`.
    fn flag(&mut self, call: &'static str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let on = if meta.input.peek(Token![=]) {
            meta.value()?.parse::<LitBool>()?.value
        } else {
            true
        };
        if on {
            self.settings.push((call, Setting::Flag));
        }
        Ok(())
    }

    fn choice(
        &mut self,
        call: &'static str,
        meta: &ParseNestedMeta<'_>,
        choices: &[(&str, TokenStream)],
    ) -> Result<()> {
        let text: LitStr = meta.value()?.parse()?;
        let Some((_, value)) = choices.iter().find(|(name, _)| *name == text.value()) else {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            return Err(Error::new(
                text.span(),
                format!("one of {} is expected", names.join(", ")),
            ));
        };
        self.settings.push((call, Setting::OfEngine(value.clone())));
        Ok(())
    }
}

/// A number from 1, as far as that can be seen.
fn number(meta: &ParseNestedMeta<'_>) -> Result<Expr> {
    let value: Expr = meta.value()?.parse()?;
    if let Expr::Lit(literal) = &value
        && let syn::Lit::Int(number) = &literal.lit
        && number.base10_parse::<usize>()? == 0
    {
        return Err(Error::new_spanned(number, "a number from 1 is expected"));
    }
    Ok(value)
}

/// Whether exactly one handler is to get each message.
fn kind(meta: &ParseNestedMeta<'_>) -> Result<bool> {
    let kind: Ident = meta.value()?.parse()?;
    match kind.to_string().as_str() {
        "event" => Ok(false),
        "command" | "query" => Ok(true),
        _ => Err(Error::new(
            kind.span(),
            "`event`, `command` or `query` is expected",
        )),
    }
}

fn flags(list: &ExprArray) -> Result<Vec<Ident>> {
    list.elems
        .iter()
        .map(|flag| match flag {
            Expr::Path(path) => path
                .path
                .get_ident()
                .cloned()
                .ok_or_else(|| Error::new_spanned(flag, "a flag such as `REPLAY` is expected")),
            other => Err(Error::new_spanned(other, "a flag such as `REPLAY` is expected")),
        })
        .collect()
}
