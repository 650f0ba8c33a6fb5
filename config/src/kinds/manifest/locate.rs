//! Where a field stands in the text. Read a second time and only when there is something to report,
//! so that documents in order cost nothing for it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess};
use serde_saphyr::Spanned;

use super::path;

/// Lines of a document's fields, by path.
#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// The lines of `text`; of none of its fields where it is not YAML.
    pub(super) fn of(text: &str) -> Self {
        let mut lines = Self::default();
        if let Ok(root) = serde_saphyr::from_str_with_options::<Node>(text, super::options()) {
            lines.add("", &root);
        }
        lines
    }

    /// The line, from 1, of the field or of the nearest field around it that stands in the text.
    pub(super) fn line(&self, field: &str) -> Option<usize> {
        let mut at = Some(field);
        while let Some(path) = at {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            at = path::parent(path);
        }
        None
    }

    fn add(&mut self, at: &str, node: &Node) {
        match node {
            Node::Scalar => {}
            Node::Map(fields) => {
                for (key, value) in fields {
                    let field = path::child(at, &key.value);
                    self.add(&field, value);
                    self.insert(field, &key.referenced);
                }
            }
            Node::List(items) => {
                for (index, value) in items.iter().enumerate() {
                    let place = path::item(at, index);
                    self.add(&place, &value.value);
                    self.insert(place, &value.referenced);
                }
            }
        }
    }

    fn insert(&mut self, field: String, at: &serde_saphyr::Location) {
        if let Ok(line @ 1..) = usize::try_from(at.line()) {
            self.0.insert(field, line);
        }
    }
}

/// The shape of a document, with places and without values.
enum Node {
    Scalar,
    Map(Vec<(Spanned<String>, Node)>),
    List(Vec<Spanned<Node>>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        macro_rules! scalars {
            ($($visit:ident: $type:ty),*) => {
                $(fn $visit<E: de::Error>(self, _: $type) -> Result<Node, E> { Ok(Node::Scalar) })*
            };
        }
        impl<'de> de::Visitor<'de> for Shape {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            scalars! { visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128,
            visit_f64: f64, visit_str: &str, visit_bytes: &[u8] }
            fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
                Ok(Node::Scalar)
            }
            fn visit_none<E: de::Error>(self) -> Result<Node, E> {
                Ok(Node::Scalar)
            }
            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
                Node::deserialize(inner)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Node::Map(fields))
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn fields_items_and_what_is_missing_have_a_line() {
        let lines = Lines::of(
            "kind: A\nspec:\n  # note\n  rules:\n  - name: a\n  - name: b\n    port: 1\n  flow: {a: [1,\n    2]}\n",
        );
        for (field, line) in [
            ("kind", 1),
            ("spec", 2),
            ("spec.rules", 4),
            ("spec.rules[0].name", 5),
            ("spec.rules[1]", 6),
            ("spec.rules[1].port", 7),
            ("spec.rules[1].weight", 6),
            ("spec.flow.a[1]", 9),
            ("spec.absent.deep", 2),
        ] {
            assert_eq!(lines.line(field), Some(line), "{field}");
        }
        assert_eq!(lines.line("absent"), None);
        assert_eq!(Lines::of("a: [").line("a"), None);
    }
}
