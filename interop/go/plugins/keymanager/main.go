// Command keymanager is a SPIRE plugin for agents: keys in a directory of its own, which it shows nobody. It misbehaves
// where its settings tell it to.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/hcl"
	"github.com/spiffe/spire-plugin-sdk/pluginmain"
	keymanagerv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/agent/keymanager/v1"
	configv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/service/common/config/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Config is what stands in plugin_data.
type Config struct {
	Directory string `hcl:"directory"`
	// Whatever is asked for, the key is of RSA.
	RSA bool `hcl:"rsa"`
	// A key of a kind that SPIRE does not know lies beside the others.
	Foreign bool `hcl:"foreign"`
	// One of no_key, other_id, garbage, no_signature and other_key; well without.
	Mode string `hcl:"mode"`
}

// Plugin implements the KeyManager plugin.
type Plugin struct {
	keymanagerv1.UnimplementedKeyManagerServer
	configv1.UnimplementedConfigServer

	mtx    sync.Mutex
	config *Config
}

func (p *Plugin) GenerateKey(
	_ context.Context,
	req *keymanagerv1.GenerateKeyRequest,
) (*keymanagerv1.GenerateKeyResponse, error) {
	p.mtx.Lock()
	defer p.mtx.Unlock()
	keyType := req.KeyType
	if p.config.RSA {
		keyType = keymanagerv1.KeyType_RSA_2048
	}
	var key crypto.Signer
	var err error
	switch keyType {
	case keymanagerv1.KeyType_EC_P256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case keymanagerv1.KeyType_EC_P384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case keymanagerv1.KeyType_RSA_2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		return nil, status.Errorf(codes.InvalidArgument, "unsupported key type %q", req.KeyType)
	}
	if err != nil {
		return nil, status.Errorf(codes.Internal, "no key: %v", err)
	}
	if err := p.keep(req.KeyId, key); err != nil {
		return nil, err
	}
	public, err := publicKey(req.KeyId, key)
	switch p.config.Mode {
	case "no_key":
		public = nil
	case "other_id":
		public.Id = "other"
	case "garbage":
		public.PkixData = []byte("garbage")
	}
	return &keymanagerv1.GenerateKeyResponse{PublicKey: public}, err
}

func (p *Plugin) GetPublicKey(
	_ context.Context,
	req *keymanagerv1.GetPublicKeyRequest,
) (*keymanagerv1.GetPublicKeyResponse, error) {
	p.mtx.Lock()
	defer p.mtx.Unlock()
	key, err := p.load(req.KeyId)
	if err != nil {
		return &keymanagerv1.GetPublicKeyResponse{}, nil
	}
	public, err := publicKey(req.KeyId, key)
	return &keymanagerv1.GetPublicKeyResponse{PublicKey: public}, err
}

func (p *Plugin) GetPublicKeys(
	context.Context,
	*keymanagerv1.GetPublicKeysRequest,
) (*keymanagerv1.GetPublicKeysResponse, error) {
	p.mtx.Lock()
	defer p.mtx.Unlock()
	entries, err := os.ReadDir(p.config.Directory)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "unable to list keys: %v", err)
	}
	resp := &keymanagerv1.GetPublicKeysResponse{}
	for _, entry := range entries {
		key, err := p.load(entry.Name())
		if err != nil {
			return nil, err
		}
		public, err := publicKey(entry.Name(), key)
		if err != nil {
			return nil, err
		}
		resp.PublicKeys = append(resp.PublicKeys, public)
	}
	return resp, nil
}

func (p *Plugin) SignData(
	_ context.Context,
	req *keymanagerv1.SignDataRequest,
) (*keymanagerv1.SignDataResponse, error) {
	p.mtx.Lock()
	defer p.mtx.Unlock()
	key, err := p.load(req.KeyId)
	if err != nil {
		return nil, err
	}
	// The numbers are those of crypto.Hash.
	var opts crypto.SignerOpts = crypto.Hash(req.GetHashAlgorithm())
	if pss := req.GetPssOptions(); pss != nil {
		opts = &rsa.PSSOptions{SaltLength: int(pss.SaltLength), Hash: crypto.Hash(pss.HashAlgorithm)}
	}
	if !opts.HashFunc().Available() || len(req.Data) != opts.HashFunc().Size() {
		return nil, status.Errorf(codes.InvalidArgument, "unsupported digest of %d bytes", len(req.Data))
	}
	signature, err := key.Sign(rand.Reader, req.Data, opts)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "unable to sign: %v", err)
	}
	public, err := publicKey(req.KeyId, key)
	if err != nil {
		return nil, err
	}
	resp := &keymanagerv1.SignDataResponse{Signature: signature, KeyFingerprint: public.Fingerprint}
	switch p.config.Mode {
	case "no_signature":
		resp.Signature = nil
	case "other_key":
		resp.KeyFingerprint = "other"
	}
	return resp, nil
}

func (p *Plugin) Configure(_ context.Context, req *configv1.ConfigureRequest) (*configv1.ConfigureResponse, error) {
	config := new(Config)
	if err := hcl.Decode(config, req.HclConfiguration); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "failed to decode configuration: %v", err)
	}
	if err := os.MkdirAll(config.Directory, 0o700); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "unable to make the directory: %v", err)
	}
	p.mtx.Lock()
	defer p.mtx.Unlock()
	p.config = config
	if config.Foreign {
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		if err != nil {
			return nil, status.Errorf(codes.Internal, "no key: %v", err)
		}
		if err := p.keep("foreign", key); err != nil {
			return nil, err
		}
	}
	return &configv1.ConfigureResponse{}, nil
}

func (p *Plugin) path(id string) string {
	return filepath.Join(p.config.Directory, id)
}

func (p *Plugin) keep(id string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return status.Errorf(codes.Internal, "no key: %v", err)
	}
	if err := os.WriteFile(p.path(id), der, 0o600); err != nil {
		return status.Errorf(codes.Internal, "unable to keep the key: %v", err)
	}
	return nil
}

func (p *Plugin) load(id string) (crypto.Signer, error) {
	der, err := os.ReadFile(p.path(id))
	if err != nil {
		return nil, status.Errorf(codes.NotFound, "key %q not found: %v", id, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "key %q cannot be read: %v", id, err)
	}
	return key.(crypto.Signer), nil
}

func publicKey(id string, key crypto.Signer) (*keymanagerv1.PublicKey, error) {
	pkix, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, status.Errorf(codes.Internal, "no public key: %v", err)
	}
	sum := sha256.Sum256(pkix)
	return &keymanagerv1.PublicKey{
		Id:          id,
		Type:        keyType(key),
		PkixData:    pkix,
		Fingerprint: hex.EncodeToString(sum[:]),
	}, nil
}

func keyType(key crypto.Signer) keymanagerv1.KeyType {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256():
			return keymanagerv1.KeyType_EC_P256
		case elliptic.P384():
			return keymanagerv1.KeyType_EC_P384
		}
	case *rsa.PrivateKey:
		return keymanagerv1.KeyType_RSA_2048
	}
	return keymanagerv1.KeyType_UNSPECIFIED_KEY_TYPE
}

func main() {
	plugin := new(Plugin)
	pluginmain.Serve(
		keymanagerv1.KeyManagerPluginServer(plugin),
		configv1.ConfigServiceServer(plugin),
	)
}
