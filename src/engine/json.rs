//! Reading of JSON objects, narrowly: the fields that count are borrowed, all others passed over, and a key that stands
//! twice in one object is an error, since a JSON pointer could not say which of the two it means.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

/// A string, borrowed from the input where it has no escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Text<'a>(pub Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// The keys of one object so far.
#[derive(Default)]
pub struct Keys<'a> {
    few: SmallVec<[Text<'a>; 16]>,
    /// All of them, once they are too many to compare each with each.
    many: Option<HashSet<Text<'a>>>,
}

impl<'a> Keys<'a> {
    const FEW: usize = 64;
    /// More than any object that the API server stores can have, and few enough to remember.
    const MOST: usize = 1 << 16;

    pub fn insert<E: Error>(&mut self, key: Text<'a>) -> Result<(), E> {
        let is_known = match &self.many {
            None => self.few.contains(&key),
            Some(many) => many.contains(&key),
        };
        if is_known {
            return Err(E::custom(format_args!("duplicate key `{}`", key.escape_debug())));
        }
        match &mut self.many {
            Some(many) if many.len() >= Self::MOST => {
                return Err(E::custom(format_args!("an object with more than {} keys", Self::MOST)));
            }
            Some(many) => {
                many.insert(key);
            }
            None if self.few.len() == Self::FEW => self.many = Some(self.few.drain(..).chain([key]).collect()),
            None => self.few.push(key),
        }
        Ok(())
    }
}

/// A list whose elements are remembered, and so are bounded: a Pod of 1.5 MiB, the most that etcd stores, has fewer.
#[derive(Debug)]
pub struct List<T>(pub Vec<T>);

impl<T> List<T> {
    const MOST: usize = 1 << 13;
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if list.len() >= List::<T>::MOST {
                        return Err(A::Error::custom(format_args!(
                            "a list with more than {} entries",
                            List::<T>::MOST
                        )));
                    }
                    list.push(element);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// Any value in which no object has a key twice.
#[derive(Default)]
pub struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Skipped {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = Keys::default();
        while let Some(key) = map.next_key()? {
            keys.insert(key)?;
            map.next_value::<Self>()?;
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

/// A struct that is read from a JSON object. Unlike serde's derived code it takes no array in its place, and no key twice.
macro_rules! object {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident<$lifetime:lifetime $(, $param:ident)?> {
        $($field_visibility:vis $field:ident: $type:ty = $key:pat,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $visibility struct $name<$lifetime $(, $param)?> {
            $($field_visibility $field: $type,)*
        }

        impl<$lifetime $(, $param: ::serde::Deserialize<$lifetime> + Default)?> ::serde::Deserialize<$lifetime>
            for $name<$lifetime $(, $param)?>
        {
            fn deserialize<D: ::serde::Deserializer<$lifetime>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor<T>(::std::marker::PhantomData<T>);

                impl<$lifetime $(, $param: ::serde::Deserialize<$lifetime> + Default)?> ::serde::de::Visitor<$lifetime>
                    for ObjectVisitor<$name<$lifetime $(, $param)?>>
                {
                    type Value = $name<$lifetime $(, $param)?>;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter) -> ::std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: ::serde::de::MapAccess<$lifetime>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut object = Self::Value::default();
                        let mut keys = $crate::engine::json::Keys::default();
                        while let Some(key) = map.next_key::<$crate::engine::json::Text>()? {
                            keys.insert(key.clone())?;
                            match &*key {
                                $($key => object.$field = map.next_value()?,)*
                                _ => {
                                    map.next_value::<$crate::engine::json::Skipped>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }

                deserializer.deserialize_map(ObjectVisitor(::std::marker::PhantomData))
            }
        }
    };
}
pub(super) use object;
