"""Forms by which the tokens of known providers are recognised: data, not code.

Prefixes, alphabets and lengths are facts that the providers publish; most were checked against the rules of gitleaks
(https://github.com/gitleaks/gitleaks, MIT licence), whose expressions are not used. A least length is often below the
real one: what is cut off, or a longer form of next year, must not show either.
"""

WORD = r"\w"
DASHED = r"[\w-]"
DOTTED = r"[\w.-]"
LOOSE = r"[\w.~+/=-]"

TOKEN_FORMS: tuple[tuple[str, int, str], ...] = (
    (WORD, 10, "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_ whsec_"),
    (
        WORD,
        16,
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ npm_ hf_ rubygems_ shpat_ shpca_ shppa_ shpss_ dckr_pat_ dckr_oat_",
    ),
    (
        WORD,
        16,
        "dop_v1_ doo_v1_ dor_v1_ lin_api_ lin_oauth_ rdme_ ntn_ sntryu_ pnu_ tfp_ re_live_ ATCTT3xFfG AKCp",
    ),
    (WORD, 16, "sbp_ sb_secret_"),
    (WORD, 16, "sq0csp sgp_ squ_ sqp_ sqa_ sm_aat_ sm_pat_ sm_sat_ shippo_live_ shippo_test_ gsk_ xai- r8_ nvapi-"),
    (
        WORD,
        16,
        "glsa_ duffel_live_ duffel_test_ dapi key-live pul- pplx- tgp_v1_ phc_ phx_ fc- tvly- lsv2_pt_ lsv2_sk_",
    ),
    (DASHED, 16, "glpat- gldt- glrt- glptt- glcbt- glft- glimt- glagent- gloas- glsoat- glffct- GR1348941 EZAK EZTK"),
    (
        DASHED,
        8,
        "xoxb- xoxp- xoxa- xoxr- xoxs- xoxo- xoxe- xoxe.xoxb- xoxe.xoxp- xapp- xwfp- sk-ant- sk-proj- sk-svcacct-",
    ),
    (
        DASHED,
        8,
        "sk-admin- sk-or-v1- sk-lf- pk-lf- HRKU-AA NRAK- NRII- NRAA- PMAK- FLWSECK_TEST- FLWSECK- sq0atp-",
    ),
    (DASHED, 8, "AGE-SECRET-KEY- tskey-"),
    (
        DASHED,
        20,
        "sk- AIza ya29. fo1_ EAAA xkeysib- xsmtpsib- pypi-AgE CCIPAT_ CFPAT- ops_eyJ ABSK LTAI GOCSPX- 1// fio-u-",
    ),
    (
        DOTTED,
        16,
        "SG. hvs. hvb. hvr. s.hvs dp.pt. dp.st. dp.ct. dt0c01. pscale_tkn_ pscale_oauth_ pscale_pw_ sl.u. whsk-",
    ),
    (LOOSE, 16, "sntrys_ glc_ fm1r_ fm1a_ fm2_ sha256~ v1.0-pat atlasv1. ATATT3xFfGF0 ATBB sq0idp- PVEAPIToken="),
    (DASHED, 16, "v1.local. v2.local. v3.local. v4.local. v1.public. v2.public. v3.public. v4.public."),
    ("[a-f0-9]", 32, "md5"),
    ("[A-Z0-9]", 16, "AKIA ASIA ABIA ACCA A3T"),
    ("[A-Za-z0-9]", 32, "AKID"),
    ("[A-Fa-f0-9]", 32, "SK AC_secret_"),
)
"""Alphabet of what follows, its least length, and the prefixes."""
