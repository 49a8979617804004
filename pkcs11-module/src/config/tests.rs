//! What a configuration means, and what is refused where.

use std::{fs, path::Path};

use hsm_backends::pkcs11::Selector;

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    let environment = Environment { home: Some("/home/ada".into()), ..Environment::default() };
    Config::parse(text, Path::new("/etc/trellis/trellis.toml"), &environment).map_err(|error| error.0)
}

#[test]
fn slots_are_numbered_by_position_unless_they_say_otherwise() {
    let config =
        parse("[[slot]]\npath='~/a'\n[[slot]]\nid=7\npath='b'\npin-tries=3\n[[slot]]\npath='/c'\n").unwrap();
    let slots: Vec<_> =
        config.slots().map(|(id, slot)| (id.0, slot.path.to_str().unwrap(), slot.pin_tries)).collect();
    assert_eq!(slots, [(0, "/home/ada/a", 10), (7, "/etc/trellis/b", 3), (2, "/c", 10)]);
}

#[test]
fn a_token_of_an_hsm_is_named_in_two_ways() {
    let begin = "[[slot]]\nbackend = 'pkcs11'\npath = '/a'\nmodule-path = '~/hsm.so'\n";
    let slot = |rest: &str| {
        let config = parse(&format!("{begin}{rest}")).unwrap();
        let (_, slot) = config.slots().next().unwrap();
        let Backend::Pkcs11(hsm) = &slot.backend else { panic!("{slot:?}") };
        assert_eq!(hsm.library, Path::new("/home/ada/hsm.so"));
        hsm.token.clone()
    };
    let by_uri = slot("token = 'pkcs11:token=my%20ca;serial=12;slot-id=3'\n");
    assert_eq!(by_uri, slot("token-label = 'my ca'\ntoken-serial = '12'\ntoken-slot = 3\n"));
    assert_eq!(by_uri, slot("token = 'pkcs11:token=my%20ca;serial=12'\ntoken-slot = 3\n"));
    assert_eq!(slot(""), Selector::default());
}

#[test]
fn data_is_in_the_hsm_where_something_may_be() {
    for (lines, expected) in [
        ("", true),
        ("pass-through = ['CKM_EDDSA']\n", true),
        ("pass-through = []\n", false),
        ("data-in-hsm = false\n", false),
        ("pass-through = []\ndata-in-hsm = true\n", true),
    ] {
        let text = format!("[[slot]]\nbackend = 'pkcs11'\npath = '/a'\nmodule-path = '/b'\n{lines}");
        let Backend::Pkcs11(hsm) = parse(&text).unwrap().slots[0].backend.clone() else { panic!("{text}") };
        assert_eq!(hsm.data_in_hsm, expected, "{lines}");
    }
}

#[test]
fn a_tpm_is_the_kernels_unless_it_is_named() {
    let slot = |rest: &str| {
        let config = parse(&format!("[[slot]]\nbackend = 'tpm'\npath = '/a'\n{rest}")).unwrap();
        let Backend::Tpm(tpm) = config.slots[0].backend.clone() else { panic!("{config:?}") };
        tpm
    };
    let (tcti, pcrs, plug_in) = ("device:/dev/tpmrm0".into(), None, None);
    assert_eq!(slot(""), Tpm { tcti, pcrs, plug_in });
    let all = slot("tcti = 'swtpm:port=7'\npcrs = 'sha256:7,0'\nplug-in = '~/tpm.so'\n");
    let plug_in = Some("/home/ada/tpm.so".into());
    assert_eq!(all, Tpm { tcti: "swtpm:port=7".into(), pcrs: Some("sha256:0,7".parse().unwrap()), plug_in });
}

#[test]
fn errors_name_file_line_and_column() {
    for (text, at, what) in [
        ("log = 'info'\ncolour = 'red'\n", "2:1", "colour"),
        ("ec-point = 'point'\n", "1:12", "point"),
        ("log = 'loud'\n", "1:7", "loud"),
        ("mechanisms = ['CKM_NO_SUCH']\n", "1:14", "CKM_NO_SUCH"),
        ("[[slot]]\npath = '/a'\npin-tries = 0\n", "3:13", "between 1 and 100"),
        ("[[slot]]\npath = '/a'\n[[slot]]\nid = 0\npath = '/b'\n", "3:1", "id 0"),
        ("[[slot]]\npath = '/a'\n[[slot]]\npath = '/a'\n", "3:1", "path /a"),
        ("[[slot]]\nbackend = 'cloud'\npath = '/a'\n", "2:11", "cloud"),
        (
            "[[slot]]\npath = '/a'\nmodule-path = '/b'\n",
            "1:1",
            "module-path says nothing with backend = \"embedded\"",
        ),
        ("[[slot]]\nbackend = 'pkcs11'\npath = '/a'\n", "1:1", "module-path"),
        ("[[slot]]\nbackend = 'pkcs11'\npath = '/a'\nmodule-path = '/b'\ntoken = 'x'\n", "5:9", "pkcs11:"),
        (
            "[[slot]]\nbackend='pkcs11'\npath='/a'\nmodule-path='/b'\ntoken='pkcs11:token=a'\ntoken-label='a'\n",
            "1:1",
            "as well",
        ),
        (
            "[[slot]]\nbackend='pkcs11'\npath='/a'\nmodule-path='/b'\npass-through=['CKM_X']\n",
            "5:14",
            "CKM_X",
        ),
        ("[[slot]]\nbackend = 'nitro'\npath = '/a'\n", "1:1", "needs host"),
        ("[[slot]]\nbackend = 'nitro'\npath = '/a'\nhost = 'tcp://10.0.0.1:1'\n", "1:1", "only this machine"),
        ("[[slot]]\nbackend = 'nitro'\npath = '/a'\nhost = 'unix:/b'\nkms-key = ''\n", "1:1", "ARN"),
        ("[[slot]]\npath = '/a'\nhost = 'unix:/b'\n", "1:1", "host says nothing"),
        (
            "[[slot]]\npath = '/a'\npcrs = 'sha256:0'\n",
            "1:1",
            "pcrs says nothing with backend = \"embedded\"",
        ),
        ("[[slot]]\nbackend = 'tpm'\npath = '/a'\npcrs = 'sha256:24'\n", "1:1", "0 to 23"),
        ("[[slot]]\nbackend = 'tpm'\npath = '/a'\ntcti = 'cmd:sh'\n", "1:1", "device:/PATH"),
        ("[[slot]]\npath = '/a'\npin-source = '1234'\n", "1:1", "file:PATH"),
        ("[[slot]]\n", "1:1", "path"),
        ("log = \n", "1:7", ""),
    ] {
        let error = parse(text).unwrap_err();
        let prefix = format!("/etc/trellis/trellis.toml:{at}: ");
        assert!(error.starts_with(&prefix) && error.contains(what), "{text:?} gave {error}");
    }
}

#[test]
fn lookup_order() {
    let dir = tempfile::tempdir().unwrap();
    let (home, named) = (dir.path().join("home"), dir.path().join("named.toml"));
    let xdg = home.join(".config/trellis");
    let mut environment = Environment { home: Some(home.clone()), ..Environment::default() };

    let (config, file) = Config::load(&environment).unwrap();
    assert_eq!(file, None);
    let paths: Vec<_> = config.slots().map(|(id, slot)| (id, slot.path.clone())).collect();
    assert_eq!(paths, [(SlotId(0), home.join(".local/share/trellis/default"))]);

    fs::create_dir_all(&xdg).unwrap();
    fs::write(xdg.join("trellis.toml"), "ec-point = 'der'").unwrap();
    let (config, file) = Config::load(&environment).unwrap();
    assert_eq!(file, Some(xdg.join("trellis.toml")));
    assert!(config.ec_point_der);
    assert_eq!(config.slots.len(), 1);

    environment.conf = Some(named.clone().into());
    let error = Config::load(&environment).unwrap_err();
    assert!(error.to_string().contains("named.toml: cannot be read"), "{error}");
    fs::write(&named, "").unwrap();
    assert_eq!(Config::load(&environment).unwrap().1, Some(named));
}

/// Every key that the example explains is one, with a value that is taken.
#[test]
fn the_packaged_example_is_understood() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/trellis.toml");
    let example = fs::read_to_string(path).unwrap();
    parse(&example).unwrap();
    // What is commented out has no space after its #.
    let whole: Vec<_> = example
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')).unwrap_or(line)
        })
        .collect();
    let config = parse(&whole.join("\n")).unwrap();
    let has = |wanted: fn(&Backend) -> bool| config.slots().any(|(_, slot)| wanted(&slot.backend));
    assert!(has(|backend| matches!(backend, Backend::Embedded)));
    assert!(has(|backend| matches!(backend, Backend::Pkcs11(_))));
    assert!(has(|backend| matches!(backend, Backend::Tpm(_))));
    assert!(has(|backend| matches!(backend, Backend::Nitro(nitro) if nitro.kms_key.is_some())));
}
