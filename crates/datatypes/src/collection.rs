//! Collections: the types of values that have elements, and the interface through which the keyspace stores them.
//!
//! A small collection is *packed*: it is one run of bytes. A large one is a structure of several allocations. The keyspace decides where
//! packed bytes lie; if they are few, it puts them into the key's own entry. So each type has two sides: an owned value, for editing, and a
//! view, which reads packed bytes and large structures alike.

use crate::{Encoding, ValueType, allocation::size_class, element_prefetch::ElementPrefetch};

/// A type of values with elements. The default is an empty collection.
///
/// To edit a packed value that lies in an entry, the keyspace calls `from_packed`, the type's own method, and `into_packed`. Both
/// conversions are cheap: they keep the vector.
pub trait Collection: Default + Send + Sized + 'static {
    /// The type of the value, as clients see it.
    const TYPE: ValueType;
    /// Whether the key is deleted with the last element of its value. Streams are the only type that may be empty.
    const GOES_WHEN_EMPTY: bool = true;

    /// A view for reading, of an owned value or of packed bytes wherever they lie.
    type View<'a>: Copy;

    /// Returns the view of an owned value.
    fn view(&self) -> Self::View<'_>;

    /// Returns the view of packed bytes. `form`, 0 to 3, tells the packed forms of one type apart.
    fn view_packed(form: u8, bytes: &[u8]) -> Self::View<'_>;

    /// Returns the form and the bytes of a packed value, or `None` if it is not packed.
    fn packed(&self) -> Option<(u8, &[u8])>;

    /// Makes a value of packed bytes, which must be what a value of this type gave.
    fn from_packed(form: u8, bytes: Vec<u8>) -> Self;

    /// Returns the form and the bytes of a packed value, or the value itself if it is not packed.
    fn into_packed(self) -> Result<(u8, Vec<u8>), Self>;

    /// Returns whether there are no elements; for a stream, whether nothing was ever done to it.
    fn is_empty(&self) -> bool;

    /// Returns the reply of OBJECT ENCODING.
    fn encoding(view: Self::View<'_>) -> Encoding;

    /// Returns the bytes on the heap, beyond `size_of::<Self>()`.
    fn memory_usage(&self) -> usize;

    /// Returns whether freeing the value takes long, so that a thread of its own should do it: about 64 KiB, or 100 allocations.
    fn is_heavy(&self) -> bool;

    /// Starts to prefetch an element. Returns `None` if the value is packed, or if its elements are not looked up by name.
    fn prefetch_element(&self, _element: &[u8]) -> Option<ElementPrefetch<'_>> {
        None
    }

    /// Returns an independent copy.
    fn duplicate(view: Self::View<'_>) -> Self;

    /// Wraps the value in the enum of all types.
    fn into_any(self) -> AnyCollection;

    /// Returns the value in `any` if it is of this type.
    fn of(any: &AnyCollection) -> Option<&Self>;

    /// Returns the value in `any`, for editing, if it is of this type.
    fn of_mut(any: &mut AnyCollection) -> Option<&mut Self>;
}

/// The key holds a value of another type than the command works on: Redis's WRONGTYPE error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// Defines [`AnyCollection`] and the functions over all types. There is one row for each type.
macro_rules! collections {
    ($($name:ident => $type:ty,)*) => {
        /// A collection of any type.
        pub enum AnyCollection {
            $(#[doc = concat!("A ", stringify!($name), ".")] $name($type),)*
        }

        /// A collection of any type, for reading.
        #[derive(Clone, Copy)]
        pub enum AnyView<'a> {
            $(#[doc = concat!("A ", stringify!($name), ".")] $name(<$type as Collection>::View<'a>),)*
        }

        impl AnyCollection {
            /// Returns the view of the collection.
            pub fn view(&self) -> AnyView<'_> {
                match self {
                    $(AnyCollection::$name(value) => AnyView::$name(value.view()),)*
                }
            }

            /// See [`Collection::packed`].
            pub fn packed(&self) -> Option<(u8, &[u8])> {
                match self {
                    $(AnyCollection::$name(value) => value.packed(),)*
                }
            }

            /// Returns the reply of TYPE.
            pub fn value_type(&self) -> ValueType {
                match self {
                    $(AnyCollection::$name(_) => <$type>::TYPE,)*
                }
            }

            /// Returns the reply of OBJECT ENCODING.
            pub fn encoding(&self) -> Encoding {
                match self {
                    $(AnyCollection::$name(value) => <$type>::encoding(value.view()),)*
                }
            }

            /// Returns the bytes that the value takes, on the heap and for itself.
            pub fn memory_usage(&self) -> usize {
                size_class(size_of::<AnyCollection>()) + match self {
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

            /// Returns an independent copy.
            pub fn duplicate(&self) -> AnyCollection {
                match self {
                    $(AnyCollection::$name(value) => AnyCollection::$name(<$type>::duplicate(value.view())),)*
                }
            }
        }

        /// Returns the view of packed bytes; see [`Collection::view_packed`].
        ///
        /// # Panics
        /// As [`packed_encoding`].
        pub fn packed_view(value_type: ValueType, form: u8, bytes: &[u8]) -> AnyView<'_> {
            match value_type {
                $(<$type>::TYPE => AnyView::$name(<$type>::view_packed(form, bytes)),)*
                #[allow(unreachable_patterns)]
                other => unreachable!("a value of type {other:?} is not a collection"),
            }
        }

        /// Returns the reply of OBJECT ENCODING for packed bytes; see [`Collection::view_packed`].
        ///
        /// # Panics
        /// If the type is never packed: strings have no packed form of this kind, and streams none at all.
        pub fn packed_encoding(value_type: ValueType, form: u8, bytes: &[u8]) -> Encoding {
            match value_type {
                $(<$type>::TYPE => <$type>::encoding(<$type>::view_packed(form, bytes)),)*
                #[allow(unreachable_patterns)]
                other => unreachable!("a value of type {other:?} is not a collection"),
            }
        }
    };
}

/// Implements the methods of [`Collection`] that convert one type to and from [`AnyCollection`].
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

pub(crate) use any_collection;

collections! {
    Hash => crate::hash::Hash,
    List => crate::list::List,
    SortedSet => crate::sorted_set::SortedSet,
    Set => crate::set::Set,
    Stream => crate::stream::Stream,
}
