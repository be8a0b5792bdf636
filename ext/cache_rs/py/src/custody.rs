//! Bindings of the custody crate.
//!
//! What takes tens of microseconds keeps the GIL; what takes longer releases it once, around
//! everything (docs/CONCURRENCY.md).

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ronkms_custody as core;
use ronkms_custody::{Algorithm, BatchItem, InputKind, Mechanism, Priority, SignOptions, VerifyOptions};

use crate::error::{Failure, Result};

/// Messages up to this length hash in less time than a switch of the GIL costs.
const SHORT_MESSAGE: usize = 16 * 1024;
/// Sealed RSA keys are longer than this; every other record opens in tens of microseconds.
const SHORT_RECORD: usize = 512;

/// Default of `context`.
const NO_CONTEXT: &[u8] = b"";

/// True for operations that are over before another thread could use the GIL.
fn is_brief(algorithm: Algorithm, input: &[u8]) -> bool {
    matches!(algorithm, Algorithm::Ed25519 | Algorithm::Es256) && input.len() <= SHORT_MESSAGE
}

/// Runs `operation`, without the GIL unless it is brief.
fn run<T: Send>(
    py: Python<'_>,
    brief: bool,
    operation: impl FnOnce() -> core::Result<T> + Send,
) -> Result<T> {
    if brief { operation() } else { py.detach(operation) }.map_err(Failure::from)
}

/// `(sealed record, public bytes)` as Python bytes.
type BytesPair<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

fn pair<'py>(py: Python<'py>, (first, second): (Vec<u8>, Vec<u8>)) -> BytesPair<'py> {
    (PyBytes::new(py, &first), PyBytes::new(py, &second))
}

/// The root key of one data directory.
#[pyclass(frozen, module = "ronkms_native")]
struct Custody(core::Custody);

#[pymethods]
impl Custody {
    #[staticmethod]
    #[pyo3(signature = (kind, secret_path))]
    fn create<'py>(
        py: Python<'py>,
        kind: &str,
        secret_path: Option<&str>,
    ) -> Result<(Self, Bound<'py, PyBytes>)> {
        let (custody, seal) = run(py, false, || core::Custody::create(kind, secret_path))?;
        Ok((Self(custody), PyBytes::new(py, &seal)))
    }

    #[staticmethod]
    #[pyo3(signature = (seal, kind, secret_path))]
    fn open(py: Python<'_>, seal: &[u8], kind: &str, secret_path: Option<&str>) -> Result<Self> {
        run(py, false, || core::Custody::open(seal, kind, secret_path)).map(Self)
    }

    #[pyo3(signature = (kind, secret_path))]
    fn reseal<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        secret_path: Option<&str>,
    ) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(
            py,
            &run(py, false, || self.0.reseal(kind, secret_path))?,
        ))
    }

    fn relock(&self) -> Result<()> {
        Ok(self.0.relock()?)
    }

    fn wipe(&self) {
        self.0.wipe();
    }

    fn regions(&self) -> Vec<(usize, usize)> {
        core::locked::regions()
    }

    fn mac<'py>(&self, py: Python<'py>, label: &str, data: &[u8]) -> Result<Bound<'py, PyBytes>> {
        let tag = run(py, data.len() <= SHORT_MESSAGE, || self.0.mac(label, data))?;
        Ok(PyBytes::new(py, &tag))
    }

    fn seal_secret<'py>(
        &self,
        py: Python<'py>,
        secret: &[u8],
        identity: &[u8],
    ) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.seal_secret(secret, identity)?))
    }

    fn open_secret<'py>(
        &self,
        py: Python<'py>,
        sealed: &[u8],
        identity: &[u8],
    ) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.open_secret(sealed, identity)?))
    }

    fn generate<'py>(&self, py: Python<'py>, alg: &str, identity: &[u8]) -> Result<BytesPair<'py>> {
        let algorithm = Algorithm::from_name(alg)?;
        Ok(pair(py, run(py, false, || self.0.generate(algorithm, identity))?))
    }

    fn unseal(&self, py: Python<'_>, sealed: &[u8], identity: &[u8]) -> Result<PrivateKey> {
        run(py, sealed.len() <= SHORT_RECORD, || {
            self.0.unseal(sealed, identity)
        })
        .map(PrivateKey)
    }

    fn generate_mac_key<'py>(&self, py: Python<'py>, identity: &[u8]) -> Result<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.generate_mac_key(identity)?))
    }

    fn unseal_mac_key(&self, sealed: &[u8], identity: &[u8]) -> Result<MacKey> {
        Ok(MacKey(self.0.unseal_mac_key(sealed, identity)?))
    }

    fn import_params<'py>(
        &self,
        py: Python<'py>,
        mechanism: &str,
        identity: &[u8],
    ) -> Result<BytesPair<'py>> {
        let mechanism = Mechanism::from_name(mechanism)?;
        Ok(pair(
            py,
            run(py, false, || self.0.import_params(mechanism, identity))?,
        ))
    }

    #[allow(clippy::too_many_arguments)]
    fn import_key<'py>(
        &self,
        py: Python<'py>,
        mechanism: &str,
        params: &[u8],
        params_identity: &[u8],
        wrapped: &[u8],
        alg: &str,
        identity: &[u8],
    ) -> Result<BytesPair<'py>> {
        let mechanism = Mechanism::from_name(mechanism)?;
        let algorithm = Algorithm::from_name(alg)?;
        let imported = run(py, false, || {
            self.0
                .import_key(mechanism, params, params_identity, wrapped, algorithm, identity)
        })?;
        Ok(pair(py, imported))
    }

    fn __repr__(&self) -> &'static str {
        "Custody()"
    }
}

/// A key of keyed digests.
#[pyclass(frozen, module = "ronkms_native")]
struct MacKey(core::MacKey);

#[pymethods]
impl MacKey {
    fn mac<'py>(&self, py: Python<'py>, data: &[u8]) -> Result<Bound<'py, PyBytes>> {
        let tag = run(py, data.len() <= SHORT_MESSAGE, || self.0.mac(data))?;
        Ok(PyBytes::new(py, &tag))
    }

    fn seal_to<'py>(
        &self,
        py: Python<'py>,
        recipient: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Bound<'py, PyBytes>> {
        let sealed = run(py, false, || self.0.seal_to(recipient, info, aad))?;
        Ok(PyBytes::new(py, &sealed))
    }

    /// Address of the core object, for the C interface.
    fn _pointer(&self) -> usize {
        &raw const self.0 as usize
    }

    fn __repr__(&self) -> &'static str {
        "MacKey()"
    }
}

/// A handle on one unsealed key.
#[pyclass(frozen, module = "ronkms_native")]
struct PrivateKey(core::PrivateKey);

#[pymethods]
impl PrivateKey {
    #[getter]
    fn alg(&self) -> &'static str {
        self.0.algorithm().name()
    }

    #[getter]
    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.public())
    }

    #[pyo3(
        signature = (message, *, context=NO_CONTEXT, input_kind="message", p1363=false, deterministic=false),
        text_signature = "($self, message, *, context=b'', input_kind='message', p1363=False, deterministic=False)"
    )]
    fn sign<'py>(
        &self,
        py: Python<'py>,
        message: &[u8],
        context: &[u8],
        input_kind: &str,
        p1363: bool,
        deterministic: bool,
    ) -> Result<Bound<'py, PyBytes>> {
        let options = SignOptions {
            context,
            kind: InputKind::from_name(input_kind)?,
            p1363,
            deterministic,
        };
        let brief = is_brief(self.0.algorithm(), message);
        Ok(PyBytes::new(
            py,
            &run(py, brief, || self.0.sign(message, options))?,
        ))
    }

    #[pyo3(
        signature = (messages, *, context=NO_CONTEXT, background=false),
        text_signature = "($self, messages, *, context=b'', background=False)"
    )]
    fn sign_batch<'py>(
        &self,
        py: Python<'py>,
        messages: Vec<Bound<'py, PyBytes>>,
        context: &[u8],
        background: bool,
    ) -> Result<Vec<Bound<'py, PyBytes>>> {
        let slices: Vec<&[u8]> = messages.iter().map(|message| message.as_bytes()).collect();
        let signatures = run(py, false, || {
            core::sign_batch(&self.0, &slices, context, priority(background))
        })?;
        Ok(signatures
            .iter()
            .map(|signature| PyBytes::new(py, signature))
            .collect())
    }

    fn wrap<'py>(
        &self,
        py: Python<'py>,
        header: &[u8],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Bound<'py, PyBytes>> {
        let brief = self.wraps_briefly(plaintext);
        Ok(PyBytes::new(
            py,
            &run(py, brief, || self.0.wrap(header, aad, plaintext))?,
        ))
    }

    fn unwrap<'py>(
        &self,
        py: Python<'py>,
        header: &[u8],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Bound<'py, PyBytes>> {
        let brief = self.wraps_briefly(ciphertext);
        Ok(PyBytes::new(
            py,
            &run(py, brief, || self.0.unwrap(header, aad, ciphertext))?,
        ))
    }

    fn open_mac_key(&self, py: Python<'_>, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<MacKey> {
        run(py, false, || self.0.open_mac_key(info, aad, sealed)).map(MacKey)
    }

    fn __repr__(&self) -> String {
        format!("PrivateKey(alg='{}')", self.0.algorithm().name())
    }
}

impl PrivateKey {
    fn wraps_briefly(&self, input: &[u8]) -> bool {
        self.0.algorithm() != Algorithm::XWing && input.len() <= SHORT_MESSAGE
    }
}

/// A parsed, validated public key.
#[pyclass(frozen, module = "ronkms_native")]
struct PublicKey(core::PublicKey);

#[pymethods]
impl PublicKey {
    #[new]
    fn new(alg: &str, public: &[u8]) -> Result<Self> {
        Ok(Self(core::PublicKey::parse(Algorithm::from_name(alg)?, public)?))
    }

    #[getter]
    fn alg(&self) -> &'static str {
        self.0.algorithm().name()
    }

    #[pyo3(
        signature = (message, signature, *, context=NO_CONTEXT, input_kind="message", p1363=false),
        text_signature = "($self, message, signature, *, context=b'', input_kind='message', p1363=False)"
    )]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        message: &[u8],
        signature: &[u8],
        context: &[u8],
        input_kind: &str,
        p1363: bool,
    ) -> Result<Components> {
        let options = VerifyOptions {
            context,
            kind: InputKind::from_name(input_kind)?,
            p1363,
        };
        let brief = is_brief(self.0.algorithm(), message);
        Ok(Components(run(py, brief, || {
            self.0.verify(message, signature, options)
        })?))
    }

    fn __repr__(&self) -> String {
        format!("PublicKey(alg='{}')", self.0.algorithm().name())
    }
}

/// A verdict on its way to a tuple of bools.
struct Components(core::Verdict);

impl<'py> IntoPyObject<'py> for Components {
    type Target = pyo3::types::PyTuple;
    type Output = Bound<'py, Self::Target>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        pyo3::types::PyTuple::new(py, self.0.components().iter().copied())
    }
}

type PyBatchItem<'py> = (
    Bound<'py, PublicKey>,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
);

#[pyfunction]
#[pyo3(signature = (items, *, background=false), text_signature = "(items, *, background=False)")]
fn verify_batch<'py>(
    py: Python<'py>,
    items: Vec<PyBatchItem<'py>>,
    background: bool,
) -> Result<Vec<Components>> {
    let borrowed: Vec<BatchItem<'_>> = items
        .iter()
        .map(|(key, message, signature, context)| BatchItem {
            key: &key.get().0,
            message: message.as_bytes(),
            signature: signature.as_bytes(),
            context: context.as_bytes(),
        })
        .collect();
    let verdicts = run(py, false, || core::verify_batch(&borrowed, priority(background)))?;
    Ok(verdicts.into_iter().map(Components).collect())
}

const fn priority(background: bool) -> Priority {
    if background {
        Priority::Background
    } else {
        Priority::Normal
    }
}

#[pyfunction]
fn harden_process() -> Result<()> {
    Ok(core::harden_process()?)
}

/// Adds this part's classes and functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Custody>()?;
    module.add_class::<MacKey>()?;
    module.add_class::<PrivateKey>()?;
    module.add_class::<PublicKey>()?;
    module.add_function(wrap_pyfunction!(verify_batch, module)?)?;
    module.add_function(wrap_pyfunction!(harden_process, module)?)?;
    Ok(())
}
