//! Rendering: nodes to text.

use std::borrow::Cow;

use crate::ast::{Branch, Call, Command, Node, Pipe, Span, Term, TermKind};
use crate::limits::Work;
use crate::print::push_value;
use crate::{CallError, Functions, Limits, RenderError, Template, Value, builtins, fields};

type Result<T> = std::result::Result<T, RenderError>;

/// What comes after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

pub(crate) struct Exec<'t> {
    template: &'t Template,
    functions: &'t dyn Functions,
    /// `$`, then those that are given, then those of the template; the last of a name holds.
    variables: Vec<(Cow<'t, str>, Value)>,
    given: usize,
    out: String,
    work: Work,
    depth: usize,
}

impl<'t> Exec<'t> {
    pub(crate) fn new(
        template: &'t Template,
        variables: &[(&'t str, Value)],
        functions: &'t dyn Functions,
        limits: Limits,
    ) -> Self {
        let root = (Cow::Borrowed("$"), Value::Nil);
        let given = variables.iter().map(|(name, value)| (Cow::Borrowed(*name), value.clone()));
        let variables: Vec<_> = std::iter::once(root).chain(given).collect();
        let given = variables.len();
        Self { template, functions, variables, given, out: String::new(), work: Work::new(limits), depth: 0 }
    }

    pub(crate) fn run(mut self, dot: &Value) -> Result<String> {
        self.variables[0].1 = dot.clone();
        let template = self.template;
        self.nodes(&template.nodes, dot)?;
        Ok(self.out)
    }

    fn fail<T>(&self, span: Span, text: impl Into<String>) -> Result<T> {
        Err(self.template.error(span, text.into()).into())
    }

    /// An error of a function, at its place.
    fn at<T>(&self, span: Span, outcome: std::result::Result<T, CallError>) -> Result<T> {
        match outcome {
            Ok(value) => Ok(value),
            Err(CallError::Failed(text)) => self.fail(span, text),
            Err(CallError::Wants(question)) => Err(RenderError::Wants(question)),
        }
    }

    fn step(&mut self, span: Span, units: u64) -> Result<()> {
        match self.work.add(units) {
            Ok(()) => Ok(()),
            Err(text) => self.fail(span, text),
        }
    }

    fn print(&mut self, span: Span, text: &str) -> Result<()> {
        let max = self.work.limits().output_bytes_max;
        if self.out.len() + text.len() > max {
            return self.fail(span, format!("the output is over the limit of {max} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &'t [Node], dot: &Value) -> Result<Flow> {
        for node in nodes {
            match node {
                Node::Text(text) => self.print((0, 0), text)?,
                Node::Print(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        let mut text = String::new();
                        match value {
                            Value::Nil => text.push_str("<no value>"),
                            Value::String(string) => {
                                self.print(pipe.span, &string)?;
                                continue;
                            }
                            value => push_value(&mut text, &value),
                        }
                        self.print(pipe.span, &text)?;
                    }
                }
                Node::If(branch) => match self.choose(branch, dot, false)? {
                    Flow::Next => {}
                    flow => return Ok(flow),
                },
                Node::With(branch) => match self.choose(branch, dot, true)? {
                    Flow::Next => {}
                    flow => return Ok(flow),
                },
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Call(call) => self.call_template(call, dot)?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::Next)
    }

    /// `if`, and `with`, which makes the value the dot.
    fn choose(&mut self, branch: &'t Branch, dot: &Value, with: bool) -> Result<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = match value.is_true() {
            true => self.nodes(&branch.body, if with { &value } else { dot })?,
            false => self.nodes(&branch.otherwise, dot)?,
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(&mut self, branch: &'t Branch, dot: &Value) -> Result<()> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match &value {
            Value::List(values) => {
                Box::new(values.iter().enumerate().map(|(at, value)| (Value::Int(at as i64), value.clone())))
            }
            Value::Labels(labels) => Box::new(labels.iter().map(|(name, value)| (name.into(), value.into()))),
            Value::Map(map) => Box::new(map.iter().map(|(key, value)| (key.as_str().into(), value.clone()))),
            Value::Int(n) => Box::new((0..*n).map(|n| (Value::Int(n), Value::Int(n)))),
            Value::Nil => Box::new(std::iter::empty()),
            other => {
                let mut shown = String::new();
                push_value(&mut shown, other);
                return self.fail(branch.pipe.span, format!("range can't iterate over {shown}"));
            }
        };
        let declared = self.variables.len();
        let mut empty = true;
        for (key, item) in items {
            empty = false;
            self.step(branch.pipe.span, 1)?;
            let values = match branch.pipe.variables.len() {
                2 => vec![key, item.clone()],
                _ => vec![item.clone()],
            };
            for (name, value) in branch.pipe.variables.iter().zip(values) {
                self.set(name, value);
            }
            let flow = self.nodes(&branch.body, &item)?;
            self.variables.truncate(declared);
            if flow == Flow::Break {
                break;
            }
        }
        if empty {
            self.nodes(&branch.otherwise, dot)?;
        }
        self.variables.truncate(scope);
        Ok(())
    }

    fn call_template(&mut self, call: &'t Call, dot: &Value) -> Result<()> {
        let value = match &call.pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        self.run_template(call.span, &call.name, &value)
    }

    /// Renders a template that is defined here, with variables of its own.
    fn run_template(&mut self, span: Span, name: &str, dot: &Value) -> Result<()> {
        let template = self.template;
        let Some(nodes) = template.defined.get(name) else {
            return self.fail(span, format!("template {name:?} not defined"));
        };
        self.depth += 1;
        let depth_max = self.work.limits().depth_max;
        if self.depth > depth_max {
            return self.fail(span, format!("exceeded maximum template depth ({depth_max})"));
        }
        let mut variables = self.variables[..self.given].to_vec();
        variables[0].1 = dot.clone();
        let outer = std::mem::replace(&mut self.variables, variables);
        self.nodes(nodes, dot)?;
        self.variables = outer;
        self.depth -= 1;
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value) {
        if let Some((_, place)) = self.variables.iter_mut().rev().find(|(there, _)| there == name) {
            *place = value;
        }
    }

    fn pipe(&mut self, pipe: &'t Pipe, dot: &Value) -> Result<Value> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let value = last.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            match pipe.assigns {
                true => self.set(name, value.clone()),
                false => self.variables.push((Cow::Borrowed(name), value.clone())),
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'t Command, dot: &Value, last: Option<Value>) -> Result<Value> {
        self.step(command.span, 1)?;
        let Some((first, others)) = command.terms.split_first() else { return Ok(Value::Nil) };
        if let TermKind::Function(name) = &first.kind {
            let value = self.function(command, name, others, dot, last)?;
            return self.fields(first, value, &first.fields);
        }
        let arguments = others.len() + usize::from(last.is_some());
        if arguments == 0 {
            return match first.kind {
                TermKind::Nil => self.fail(first.span, "nil is not a command"),
                _ => self.term(first, dot),
            };
        }
        // Arguments go to a method, the last of the fields.
        let Some((method, before)) = first.fields.split_last() else {
            let shown = &self.template.text[first.span.0..first.span.1];
            return self.fail(first.span, format!("can't give argument to non-function {shown}"));
        };
        let base = self.base(first, dot)?;
        let receiver = self.fields(first, base, before)?;
        let mut args = self.terms(others, dot)?;
        args.extend(last);
        match fields::method(&receiver, method, &args) {
            Some(outcome) => self.at(first.span, outcome.map_err(CallError::Failed)),
            None => self.fail(first.span, format!("{method} has arguments but cannot be invoked as function")),
        }
    }

    fn terms(&mut self, terms: &'t [Term], dot: &Value) -> Result<Vec<Value>> {
        terms.iter().map(|term| self.term(term, dot)).collect()
    }

    fn function(
        &mut self,
        command: &'t Command,
        name: &'t str,
        terms: &'t [Term],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value> {
        if matches!(name, "and" | "or") {
            return self.short_circuit(command, name, terms, dot, last);
        }
        let mut args = self.terms(terms, dot)?;
        args.extend(last);
        if name == "tmpl" && self.functions.has(name) {
            return self.rendered(command.span, &args);
        }
        let outcome = match builtins::is_builtin(name) && !self.functions.has(name) {
            true => builtins::call(name, &args, &mut self.work),
            false => self.functions.call(name, &args, &mut self.work),
        };
        let outcome = outcome.map_err(|e| match e {
            CallError::Failed(text) if !text.starts_with("wrong number of args") => {
                CallError::Failed(format!("error calling {name}: {text}"))
            }
            e => e,
        });
        let value = self.at(command.span, outcome)?;
        if let Value::String(text) = &value {
            let counted = self.work.add_bytes(text.len()).map_err(CallError::Failed);
            self.at(command.span, counted)?;
        }
        Ok(value)
    }

    /// Prometheus' `tmpl`: another template as a value.
    fn rendered(&mut self, span: Span, args: &[Value]) -> Result<Value> {
        let [Value::String(name), value] = args else {
            return self.fail(span, "tmpl takes the name of a template and a value");
        };
        let outer = std::mem::take(&mut self.out);
        self.run_template(span, name, value)?;
        Ok(Value::string(std::mem::replace(&mut self.out, outer)))
    }

    /// Arguments behind the one that decides are not evaluated.
    fn short_circuit(
        &mut self,
        command: &'t Command,
        name: &str,
        terms: &'t [Term],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value> {
        let mut value = None;
        for term in terms {
            let next = self.term(term, dot)?;
            if next.is_true() == (name == "or") {
                return Ok(next);
            }
            value = Some(next);
        }
        match last.or(value) {
            Some(value) => Ok(value),
            None => self.fail(command.span, format!("wrong number of args for {name}: want at least 1 got 0")),
        }
    }

    fn term(&mut self, term: &'t Term, dot: &Value) -> Result<Value> {
        let base = self.base(term, dot)?;
        self.fields(term, base, &term.fields)
    }

    fn base(&mut self, term: &'t Term, dot: &Value) -> Result<Value> {
        Ok(match &term.kind {
            TermKind::Dot => dot.clone(),
            TermKind::Nil => Value::Nil,
            TermKind::Bool(b) => Value::Bool(*b),
            TermKind::Int(n) => Value::Int(*n),
            TermKind::Float(f) => Value::Float(*f),
            TermKind::String(text) => Value::from(text.as_str()),
            TermKind::Variable(name) => {
                let found = self.variables.iter().rev().find(|(there, _)| there == name);
                match found {
                    Some((_, value)) => value.clone(),
                    None => return self.fail(term.span, format!("undefined variable: {name}")),
                }
            }
            TermKind::Nested(pipe) => self.pipe(pipe, dot)?,
            TermKind::Function(name) => {
                let name = name.as_str();
                let outcome = match builtins::is_builtin(name) && !self.functions.has(name) {
                    true => builtins::call(name, &[], &mut self.work),
                    false => self.functions.call(name, &[], &mut self.work),
                };
                self.at(term.span, outcome)?
            }
        })
    }

    fn fields(&self, term: &Term, value: Value, names: &[String]) -> Result<Value> {
        let mut value = value;
        for name in names {
            match fields::field(&value, name, self.template.missing_is_zero) {
                Ok(next) => value = next,
                Err(text) => return self.fail(term.span, text),
            }
        }
        Ok(value)
    }
}
