//! ARCHITECTURE.md says where the steps of a request are: the files and functions that it names exist.

use std::fs;

use ochre_testkit::workspace;

#[test]
fn the_way_of_a_request_is_where_the_page_says() {
    let page = fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).expect("the page exists");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>();
    let steps: Vec<Vec<String>> =
        page.lines().map(cells).filter(|cells| cells.len() > 4 && cells[1].parse::<u32>().is_ok()).collect();
    let numbers: Vec<&str> = steps.iter().map(|cells| &*cells[1]).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    for cells in &steps {
        let (file, function) = (&cells[2], &cells[3]);
        let code = fs::read_to_string(workspace::root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let defined = [format!("fn {function}("), format!("fn {function}<")];
        assert!(defined.iter().any(|definition| code.contains(definition)), "{file} has no function {function}");
    }
}

#[test]
fn the_paths_of_the_page_exist() {
    let page = fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).expect("the page exists");
    let paths: Vec<&str> = page
        .split('`')
        .filter(|quoted| ["crates/", "tests/", "xtask/"].iter().any(|top| quoted.starts_with(top)))
        .filter(|quoted| !quoted.contains(' '))
        .collect();
    assert!(paths.len() > 8, "the page names its places between backquotes");
    for path in paths {
        assert!(workspace::root().join(path).exists(), "{path} does not exist");
    }
}
