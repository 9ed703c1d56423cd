package workload

import (
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestJWTSVIDContents(t *testing.T) {
	source := jwtSource(t)
	svid, err := source.FetchJWTSVID(patient(t), jwtsvid.Params{
		Audience: "api", ExtraAudiences: []string{"other"}, Subject: environment.ID("/db"),
	})
	require.NoError(t, err)
	require.Equal(t, environment.ID("/db"), svid.ID)
	require.Equal(t, "db", svid.Hint)
	require.Equal(t, []string{"api", "other"}, svid.Audience)
	require.WithinDuration(t, time.Now().Add(time.Minute), svid.Expiry, 10*time.Second, "the entry says 60 s")

	token, err := josejwt.ParseSigned(svid.Marshal(), []jose.SignatureAlgorithm{jose.ES256})
	require.NoError(t, err)
	require.Len(t, token.Headers, 1)
	require.Equal(t, "JWT", token.Headers[0].ExtraHeaders[jose.HeaderType])
	bundle, err := source.GetJWTBundleForTrustDomain(environment.Domain())
	require.NoError(t, err)
	key, found := bundle.FindJWTAuthority(token.Headers[0].KeyID)
	require.True(t, found, "the bundle has the key %q", token.Headers[0].KeyID)

	var claims map[string]any
	require.NoError(t, token.Claims(key, &claims))
	require.Equal(t, environment.ID("/db").String(), claims["sub"])
	require.Equal(t, []any{"api", "other"}, claims["aud"])
	require.InDelta(t, 60, claims["exp"].(float64)-claims["iat"].(float64), 0)
	require.NotContains(t, claims, "nbf")
	require.NotContains(t, claims, "iss")
	require.NotContains(t, claims, "jti")
}

func TestJWTSVIDVerifiesForItsAudienceOnly(t *testing.T) {
	source := jwtSource(t)
	svid, err := source.FetchJWTSVID(patient(t), jwtsvid.Params{Audience: "api", Subject: environment.ID("/web")})
	require.NoError(t, err)
	verified, err := jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{"api"})
	require.NoError(t, err)
	require.Equal(t, environment.ID("/web"), verified.ID)
	_, err = jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{"other"})
	require.ErrorContains(t, err, "audience")
}

func TestJWTSVIDForEveryIdentity(t *testing.T) {
	svids, err := jwtSource(t).FetchJWTSVIDs(patient(t), jwtsvid.Params{Audience: "api"})
	require.NoError(t, err)
	var paths []string
	for _, svid := range svids {
		paths = append(paths, svid.ID.Path())
	}
	require.ElementsMatch(t, []string{"/web", "/db", "/short"}, paths)
}

func TestJWTSVIDOfAnotherIsRefused(t *testing.T) {
	_, err := jwtSource(t).FetchJWTSVID(patient(t), jwtsvid.Params{Audience: "api", Subject: environment.ID("/none")})
	require.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
}

func TestTheAgentValidates(t *testing.T) {
	c := client(t)
	svid, err := c.FetchJWTSVID(patient(t), jwtsvid.Params{Audience: "api", Subject: environment.ID("/web")})
	require.NoError(t, err)

	validated, err := c.ValidateJWTSVID(patient(t), svid.Marshal(), "api")
	require.NoError(t, err)
	require.Equal(t, svid.ID, validated.ID)
	require.Equal(t, svid.Claims["exp"], validated.Claims["exp"])

	_, err = c.ValidateJWTSVID(patient(t), svid.Marshal(), "other")
	require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)

	token := []byte(svid.Marshal())
	// The middle of the signature: the last character may carry bits that mean nothing.
	middle := len(token) - 40
	token[middle] = map[bool]byte{true: 'B', false: 'A'}[token[middle] == 'A']
	_, err = c.ValidateJWTSVID(patient(t), string(token), "api")
	require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
}
