//! Selectors `name{label="value"}` and metrics in the same form.

use labels::{Builder, Labels, METRIC_NAME, MatchType, Matcher};

use super::{Parsed, Parser};
use crate::token::{Tok, Token};
use crate::{DurationExpr, Span, VectorSelector};

impl Parser<'_> {
    pub(super) fn vector_selector(&mut self) -> Parsed<VectorSelector> {
        let token = self.peek()?;
        if token.tok.is_metric_name() {
            self.next()?;
            return self.vector_after_name(token);
        }
        let (matchers, span) = self.label_matchers()?;
        Ok(vector(None, matchers, span))
    }

    /// The selector of the metric `name`, which is read.
    pub(super) fn vector_after_name(&mut self, name: Token) -> Parsed<VectorSelector> {
        let (mut matchers, mut span) = (Vec::new(), name.span());
        if self.peek()?.tok == Tok::LeftBrace {
            (matchers, span) = self.label_matchers()?;
            span.start = name.start;
        }
        let text = self.slice(name);
        matchers.push(Matcher::equal(METRIC_NAME, text));
        Ok(vector(Some(text.to_owned()), matchers, span))
    }

    fn label_matchers(&mut self) -> Parsed<(Vec<Matcher>, Span)> {
        let mut matchers = Vec::new();
        let span = self.braces("label matching", |p| {
            matchers.push(p.label_matcher()?);
            Ok(())
        })?;
        Ok((matchers, span))
    }

    /// `{item, item}`, with `context` for errors about what is between items.
    fn braces(&mut self, context: &str, mut item: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<Span> {
        let open = self.expect(Tok::LeftBrace)?;
        let span = |close: Token| Span { start: open.start, end: close.end };
        if let Some(close) = self.accept(Tok::RightBrace)? {
            return Ok(span(close));
        }
        loop {
            let read = item(self);
            self.within(read, context, "identifier or \"}\"")?;
            if self.accept(Tok::Comma)?.is_none() {
                let close = self.expect(Tok::RightBrace);
                return self.within(close, context, "\",\" or \"}\"").map(span);
            }
            if let Some(close) = self.accept(Tok::RightBrace)? {
                return Ok(span(close));
            }
        }
    }

    fn label_matcher(&mut self) -> Parsed<Matcher> {
        const CONTEXT: &str = "label matching";
        let name_token = self.peek()?;
        let name = self.label_name()?;
        let operator = self.peek()?;
        let kind = match operator.tok {
            Tok::Assign => MatchType::Equal,
            Tok::NotEqual => MatchType::NotEqual,
            Tok::RegexMatch => MatchType::Regex,
            Tok::RegexNotMatch => MatchType::NotRegex,
            // A text alone is the metric's name.
            _ if name_token.tok == Tok::Text => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => {
                let result = self.unexpected();
                return self.within(result, CONTEXT, "label matching operator");
            }
        };
        self.next()?;
        let value = self.expect(Tok::Text);
        let value = self.within(value, CONTEXT, "string")?;
        let text = self.unquoted(value)?;
        let span = Span { start: name_token.start, end: value.end };
        match Matcher::new(kind, name, text) {
            Ok(matcher) => self.counted(matcher, span),
            Err(e) => self.fail(span, e.to_string()),
        }
    }

    /// Refuses what the regular expressions of the query would take together.
    fn counted(&mut self, matcher: Matcher, span: Span) -> Parsed<Matcher> {
        self.regex_bytes += matcher.regex().map_or(0, |r| r.size_bytes());
        let max = self.options.max_regex_bytes;
        if max > 0 && self.regex_bytes > max {
            let message =
                format!("regular expressions take more than {max} bytes when compiled (--query.max-regex-bytes)");
            return self.fail(span, message);
        }
        Ok(matcher)
    }

    /// A label's name, quoted or not.
    fn label_name(&mut self) -> Parsed<String> {
        let token = self.peek()?;
        match token.tok {
            Tok::Identifier => {
                self.next()?;
                Ok(self.slice(token).to_owned())
            }
            Tok::Text => {
                self.next()?;
                self.unquoted(token)
            }
            _ => self.unexpected(),
        }
    }

    /// `name{label="value"}` as labels.
    pub(super) fn metric(&mut self) -> Parsed<Labels> {
        let mut builder = Builder::new();
        let token = self.peek()?;
        let name = token.tok.is_metric_name().then(|| self.slice(token));
        if name.is_some() {
            self.next()?;
        }
        if self.peek()?.tok == Tok::LeftBrace {
            self.braces("label set", |p| p.label_set_item(&mut builder))?;
        }
        if let Some(name) = name {
            builder.set(METRIC_NAME, name);
        }
        Ok(builder.build())
    }

    /// As [`Parser::metric`], with values behind it: braces follow a name at once. Reads no further than the metric,
    /// because the values are no tokens.
    pub(super) fn metric_prefix(&mut self) -> Parsed<(Labels, usize)> {
        let mut builder = Builder::new();
        let token = self.peek()?;
        let name = token.tok.is_metric_name().then(|| self.slice(token));
        let mut end = token.start;
        if name.is_some() {
            self.next()?;
            end = token.end;
        }
        if self.text[end..].starts_with('{') {
            end = self.braces("label set", |p| p.label_set_item(&mut builder))?.end;
        } else if name.is_none() {
            return self.unexpected();
        }
        if let Some(name) = name {
            builder.set(METRIC_NAME, name);
        }
        Ok((builder.build(), end))
    }

    fn label_set_item(&mut self, builder: &mut Builder) -> Parsed<()> {
        const CONTEXT: &str = "label set";
        let token = self.peek()?;
        let name = self.label_name()?;
        if self.accept(Tok::Assign)?.is_none() {
            if token.tok == Tok::Text {
                builder.set(METRIC_NAME, &name);
                return Ok(());
            }
            let result = self.unexpected();
            return self.within(result, CONTEXT, "\"=\"");
        }
        let value = self.expect(Tok::Text);
        let value = self.within(value, CONTEXT, "string")?;
        builder.set(&name, &self.unquoted(value)?);
        Ok(())
    }
}

fn vector(name: Option<String>, matchers: Vec<Matcher>, span: Span) -> VectorSelector {
    VectorSelector {
        name,
        matchers: matchers.into(),
        offset: DurationExpr::Literal(0),
        at: None,
        anchored: false,
        smoothed: false,
        span,
    }
}
