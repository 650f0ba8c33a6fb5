//! What our compiler takes and RE2 does not, or takes for something else (tried with Envoy 1.40).

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassSetBinaryOp, ClassSetItem, ClassUnicode, ClassUnicodeKind, Flag, Flags,
    FlagsItemKind, HexLiteralKind, Literal, LiteralKind, RepetitionKind, RepetitionRange, Visitor,
};

use super::not_an_expression;
use crate::FieldError;

/// RE2's `kMaxRepeat`: of one repetition, and of nested ones together.
const MOST_REPEATS: u32 = 1000;

/// Checks an expression.
///
/// # Errors
/// It does not parse, or RE2 would read it differently.
pub(super) fn check(pattern: &str) -> Result<(), FieldError> {
    let ast = Parser::new().parse(pattern).map_err(|error| not_an_expression(&error.to_string()))?;
    let check = Check { pattern, repeats: Vec::new() };
    ast::visit(&ast, check)
        .map_err(|what| FieldError::new("", format!("is no regular expression of RE2: {what} not in it")))
}

struct Check<'a> {
    pattern: &'a str,
    /// Repeats of the repetitions around, each with those around it.
    repeats: Vec<u32>,
}

type Found = Result<(), &'static str>;

impl Visitor for Check<'_> {
    type Output = ();
    type Err = &'static str;

    fn finish(self) -> Found {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Found {
        match ast {
            Ast::Flags(set) => flags(&set.flags),
            Ast::Group(group) => group.flags().map_or(Ok(()), flags),
            Ast::Literal(one) => literal(one),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText
                | AssertionKind::WordBoundary
                | AssertionKind::NotWordBoundary => Ok(()),
                _ => Err("this kind of word boundary is"),
            },
            Ast::ClassUnicode(class) => unicode(class),
            Ast::Repetition(repetition) => {
                if matches!(*repetition.ast, Ast::Repetition(_)) {
                    return Err("a repetition of a repetition is");
                }
                let text = self.pattern.get(repetition.op.span.start.offset..).unwrap_or_default();
                if text.starts_with("{,") || text.starts_with("{ ") {
                    return Err("a repetition without its least number is");
                }
                let most = match &repetition.op.kind {
                    RepetitionKind::Range(
                        RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n) | RepetitionRange::Bounded(_, n),
                    ) => (*n).max(1),
                    RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 1,
                };
                let all = self.repeats.last().copied().unwrap_or(1).saturating_mul(most);
                self.repeats.push(all);
                if all > MOST_REPEATS {
                    Err("more than 1000 repetitions, of nested ones together, are")
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    fn visit_post(&mut self, ast: &Ast) -> Found {
        if matches!(ast, Ast::Repetition(_)) {
            self.repeats.pop();
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Found {
        match item {
            ClassSetItem::Bracketed(_) => Err("a class within a class is"),
            ClassSetItem::Literal(one) => literal(one),
            ClassSetItem::Range(range) => literal(&range.start).and_then(|()| literal(&range.end)),
            ClassSetItem::Unicode(class) => unicode(class),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Found {
        Err("an operation on classes (`&&`, `--`, `~~`) is")
    }
}

fn flags(flags: &Flags) -> Found {
    let known = |kind: &FlagsItemKind| {
        !matches!(kind, FlagsItemKind::Flag(Flag::Unicode | Flag::CRLF | Flag::IgnoreWhitespace))
    };
    if flags.items.iter().all(|item| known(&item.kind)) { Ok(()) } else { Err("one of the flags `u`, `x` and `R` is") }
}

fn literal(literal: &Literal) -> Found {
    match literal.kind {
        LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
        | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong) => {
            Err("an escape with `\\u` or `\\U` is")
        }
        _ => Ok(()),
    }
}

/// One- and two-letter categories (`\pL`, `\p{Lu}`) mean the same to both.
fn unicode(class: &ClassUnicode) -> Found {
    match &class.kind {
        ClassUnicodeKind::OneLetter(_) => Ok(()),
        ClassUnicodeKind::Named(name) if name.len() <= 2 => Ok(()),
        _ => Err("a class of Unicode by a long name is"),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_both_take_is_taken() {
        for pattern in [
            r"/[a-z]{1,50}",
            r"/a{1000}",
            r"/(a{30}){30}",
            r"/\pL\p{Lu}",
            r"/(?P<n>a)(?<m>b)",
            r"/\z",
            r"(?i)/a",
            r"/\d+/[^/]+",
            r"/[\w-]+",
            r"/\_\-\%\@\/",
            r"/\x{41}\x41",
            r"/(?i:a)(?U)a+?",
            r"/é",
            r"/[[:alpha:]]\B",
            r"/(|a)*",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_envoy_refuses_or_reads_otherwise_is_refused() {
        for pattern in [
            r"/a{1001}",
            r"/(a{40}){40}",
            r"/[a-z&&[^b]]",
            r"/[[a]b]",
            r"/\u0041",
            r"/\b{start}a",
            r"/\<a",
            r"/(?x)a",
            r"/\p{Letter}",
            r"/[a--b]",
            r"/(?-u:a)",
            r"/(?u)a",
            r"/(?R)a",
            r"/a**",
            r"/x{2}{3}",
            r"/a{,3}",
        ] {
            let error = check(pattern).expect_err(pattern).to_string();
            assert!(error.contains("RE2"), "{pattern}: {error}");
        }
    }
}
