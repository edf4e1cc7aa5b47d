//! The lists of a Pod's spec that have images.

/// Declares the lists, in the order in which decisions are listed.
macro_rules! lists {
    ($($list:ident, $name:literal, $entries:ident, $change:ident, $kustomize:ident;)+) => {
        /// A list of a Pod's spec that has images.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum List { $($list),+ }

        impl List {
            /// All lists, in the order in which decisions are listed.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$list),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$list => $name),+ }
            }

            pub const fn entries(self) -> Entries {
                match self { $(Self::$list => Entries::$entries),+ }
            }

            pub const fn change(self) -> Change {
                match self { $(Self::$list => Change::$change),+ }
            }

            pub const fn kustomize(self) -> Kustomize {
                match self { $(Self::$list => Kustomize::$kustomize),+ }
            }
        }
    };
}

lists! {
    InitContainers, "initContainers", Containers, Images, Anywhere;
    Containers, "containers", Containers, Images, Anywhere;
    EphemeralContainers, "ephemeralContainers", Containers, Additions, Nowhere;
    Volumes, "volumes", Volumes, Nothing, PodSpecs;
}

/// The kind of a list's entries, which determines where their images are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entries {
    Containers,
    /// Image volumes have an image, others none.
    Volumes,
}

impl Entries {
    /// Returns the keys from an entry to its image. They need no escapes in a JSON pointer.
    pub const fn image(self) -> &'static [&'static str] {
        match self {
            Self::Containers => &["image"],
            Self::Volumes => &["image", "reference"],
        }
    }

    /// Returns the keys from an entry to the pull policy of its image.
    pub const fn pull_policy(self) -> &'static [&'static str] {
        match self {
            Self::Containers => &["imagePullPolicy"],
            Self::Volumes => &["image", "pullPolicy"],
        }
    }
}

/// The changes to a list that the API server allows in an existing Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The images of its entries.
    Images,
    /// Entries can be added through `pods/ephemeralcontainers`, and never change.
    Additions,
    Nothing,
}

/// Where kustomize's `images` apply to a list (`api/filters/imagetag`, `api/internal/konfig/builtinpluginconsts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kustomize {
    /// Below any key of any object.
    Anywhere,
    /// In the PodSpecs of Pods, of templates and of CronJobs.
    PodSpecs,
    Nowhere,
}

impl List {
    /// Returns the list of the image at a path such as `spec/containers/0/image`.
    pub fn of_image(path: &[&str]) -> Option<Self> {
        Self::ALL.into_iter().find(|list| {
            let entry = path.strip_suffix(list.entries().image());
            matches!(entry, Some([.., name, _]) if *name == list.as_str())
        })
    }

    /// Returns whether the API server rejects another image at the same place.
    pub const fn is_immutable(self) -> bool {
        match self.change() {
            Change::Images => false,
            Change::Additions | Change::Nothing => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Pod;
    use crate::patch::replace_bytes;

    fn set(value: &mut Value, keys: &[&str], text: &str) {
        let value = keys.iter().fold(value, |value, key| &mut value[*key]);
        *value = json!(text);
    }

    /// The table agrees with the other modules that know the shape of an entry.
    #[test]
    fn images_are_read_where_the_table_has_them() {
        for list in List::ALL {
            let mut entry = json!({"name": "a"});
            set(&mut entry, list.entries().image(), "quay.io/a");
            set(&mut entry, list.entries().pull_policy(), "Never");
            let pod = json!({"spec": {list.as_str(): [entry]}});
            let text = pod.to_string();
            let sites = Pod::parse(&text).expect("a Pod").into_sites();
            let [site] = &sites[..] else { panic!("{list:?}: {sites:?}") };
            assert_eq!((site.place.list, &*site.image, site.pull_never), (list, "quay.io/a", true));
            let mut pointer = Vec::new();
            site.place.push_pointer(&mut pointer);
            let pointer = String::from_utf8(pointer).expect("a text");
            assert_eq!(pod.pointer(&pointer), Some(&json!("quay.io/a")), "{pointer}");
            let path: Vec<&str> = pointer.split('/').collect();
            assert_eq!(List::of_image(&path), Some(list));
            let operation = json!({"op": "replace", "path": pointer, "value": ""}).to_string();
            assert!(
                operation.len() < replace_bytes(""),
                "patch.rs: REPLACE_BYTES, memory.rs: REWRITTEN_BYTES: {operation}"
            );
            assert!(list.entries().image().contains(&"image"), "memory.rs: memory_bytes counts the key of an image");
        }
    }
}
