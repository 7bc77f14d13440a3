//! Collections: the values that have elements, and what the keyspace asks of each of them.
//!
//! A collection is *packed*, one run of bytes, while it is small, and an object with parts on the heap when it is not. A packed one lies
//! wherever its owner puts the bytes, inside a key's own entry if they are few; so there are two sides to each type: the owned value that
//! is edited, and a view that reads packed bytes and objects alike.

use crate::{Encoding, ValueType, element_prefetch::ElementPrefetch};

/// A type of values with elements.
///
/// Editing a packed value that lies inside an entry goes `from_packed`, a method of the type, `into_packed`: the two are cheap, and keep
/// the vector.
pub trait Collection: Default + Send + Sized + 'static {
    const TYPE: ValueType;
    /// Whether it goes when its last element goes: all but streams do.
    const GOES_WHEN_EMPTY: bool = true;

    /// For reading: of the value, or of packed bytes wherever they lie.
    type View<'a>: Copy;

    fn view(&self) -> Self::View<'_>;

    /// The view of packed bytes; `form` tells the packed forms of one type apart (0 to 3).
    fn view_packed(form: u8, bytes: &[u8]) -> Self::View<'_>;

    /// Form and bytes where the whole value is one run of bytes.
    fn packed(&self) -> Option<(u8, &[u8])>;

    /// Takes packed bytes over.
    fn from_packed(form: u8, bytes: Vec<u8>) -> Self;

    /// Gives the packed bytes back, or itself where it is not packed.
    fn into_packed(self) -> Result<(u8, Vec<u8>), Self>;

    /// Whether it has no elements; of a stream, whether nothing was ever done to it.
    fn is_empty(&self) -> bool;

    fn encoding(view: Self::View<'_>) -> Encoding;

    /// The bytes on the heap beyond `size_of::<Self>()`.
    fn memory_usage(&self) -> usize;

    /// Whether freeing it takes long, so that it is better done by a thread of its own: about 64 KiB, or 100 allocations.
    fn is_heavy(&self) -> bool;

    /// The way to an element, where it is long enough for asking the processor beforehand.
    fn prefetch_element(&self, _element: &[u8]) -> Option<ElementPrefetch<'_>> {
        None
    }

    /// A copy of its own.
    fn duplicate(view: Self::View<'_>) -> Self;

    /// The value as one of any type.
    fn into_any(self) -> AnyCollection;

    /// The value where it is of this type.
    fn of(any: &AnyCollection) -> Option<&Self>;

    /// The value where it is of this type, to be edited.
    fn of_mut(any: &mut AnyCollection) -> Option<&mut Self>;
}

/// The key holds a value of another type than the command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// One row a type: [`AnyCollection`] and what is the same for all types.
macro_rules! collections {
    ($($name:ident => $type:ty,)*) => {
        /// A collection of any type.
        pub enum AnyCollection {
            $($name($type),)*
        }

        impl AnyCollection {
            pub fn value_type(&self) -> ValueType {
                match self {
                    $(AnyCollection::$name(_) => <$type>::TYPE,)*
                }
            }

            /// What OBJECT ENCODING says.
            pub fn encoding(&self) -> Encoding {
                match self {
                    $(AnyCollection::$name(value) => <$type>::encoding(value.view()),)*
                }
            }

            /// The bytes that it takes.
            pub fn memory_usage(&self) -> usize {
                size_of::<AnyCollection>() + match self {
                    $(AnyCollection::$name(value) => value.memory_usage(),)*
                }
            }

            /// See [`Collection::is_heavy`].
            pub fn is_heavy(&self) -> bool {
                match self {
                    $(AnyCollection::$name(value) => value.is_heavy(),)*
                }
            }

            /// See [`Collection::prefetch_element`].
            #[inline]
            pub fn prefetch_element(&self, element: &[u8]) -> Option<ElementPrefetch<'_>> {
                match self {
                    $(AnyCollection::$name(value) => value.prefetch_element(element),)*
                }
            }

            /// A copy of its own.
            pub fn duplicate(&self) -> AnyCollection {
                match self {
                    $(AnyCollection::$name(value) => AnyCollection::$name(<$type>::duplicate(value.view())),)*
                }
            }
        }

        /// What OBJECT ENCODING says of packed bytes.
        pub fn packed_encoding(value_type: ValueType, form: u8, bytes: &[u8]) -> Encoding {
            match value_type {
                $(<$type>::TYPE => <$type>::encoding(<$type>::view_packed(form, bytes)),)*
                #[allow(unreachable_patterns)]
                other => unreachable!("a packed value of type {other:?}"),
            }
        }
    };
}

/// The conversions of one type to and from [`AnyCollection`].
#[macro_export]
macro_rules! any_collection {
    ($name:ident) => {
        fn into_any(self) -> $crate::AnyCollection {
            $crate::AnyCollection::$name(self)
        }

        fn of(any: &$crate::AnyCollection) -> Option<&Self> {
            #[allow(irrefutable_let_patterns)]
            if let $crate::AnyCollection::$name(value) = any { Some(value) } else { None }
        }

        fn of_mut(any: &mut $crate::AnyCollection) -> Option<&mut Self> {
            #[allow(irrefutable_let_patterns)]
            if let $crate::AnyCollection::$name(value) = any { Some(value) } else { None }
        }
    };
}

collections! {
    Hash => crate::hash::Hash,
    List => crate::list::List,
    SortedSet => crate::sorted_set::SortedSet,
    Set => crate::set::Set,
    Stream => crate::stream::Stream,
}
