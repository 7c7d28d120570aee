"use strict";

// Signs in by passkey, or has a passkey sign exactly what this page shows. Nothing here decides: the server judges.

const toText = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const toBytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));

const form = document.querySelector("form[data-does]");
const status = document.querySelector("[role=status]");

class Refused extends Error {}

const say = (text, wrong = false) => {
  status.textContent = text;
  status.classList.toggle("wrong", wrong);
};

const post = async (address, body) => {
  const response = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    credentials: "same-origin",
    redirect: "error",
  });
  const answer = await response.json();
  if (!response.ok) {
    throw Object.assign(new Refused(answer.error), { over: answer.over === true });
  }
  return answer;
};

const sign = async (challenge) => {
  const credential = await navigator.credentials.get({
    publicKey: { challenge: toBytes(challenge), rpId: form.dataset.rp, userVerification: "required" },
  });
  return {
    credential: toText(credential.rawId),
    client_data: toText(credential.response.clientDataJSON),
    authenticator_data: toText(credential.response.authenticatorData),
    signature: toText(credential.response.signature),
  };
};

const decide = async (answer) => {
  const asked = { answer, name: form.elements.name?.value ?? "" };
  const { challenge, at } = await post(`${form.action}/challenge`, asked);
  say("Waiting for your passkey …");
  await post(form.action, { ...asked, at, ...(await sign(challenge)) });
  location.reload();
};

const signIn = async () => {
  const { challenge, state } = await post(`${form.action}/challenge`, {});
  say("Waiting for your passkey …");
  await post(form.action, { state, ...(await sign(challenge)) });
  location.reload();
};

const signOut = async () => {
  await post(form.action, {});
  location.reload();
};

// The link ends in #name.secret, which no server sees until the passkey is made.
const invitation = form?.dataset.does === "enrol" ? location.hash.slice(1) : "";

const enrol = async () => {
  const cut = invitation.lastIndexOf(".");
  const name = invitation.slice(0, cut), secret = invitation.slice(cut + 1);
  if (cut < 1 || !secret) {
    throw new Refused("This link is not whole: open it again as you were given it, with all that follows #.");
  }
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`ap-mcp enrolment 1 ${secret}`));
  const handle = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`ap-mcp approver 1 ${name}`));
  say("Waiting for your passkey …");
  const credential = await navigator.credentials.create({
    publicKey: {
      challenge: digest,
      rp: { id: form.dataset.rp, name: "ap-mcp approvals" },
      user: { id: handle, name, displayName: name },
      pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      attestation: "none",
    },
  });
  const made = await post(form.action, {
    name,
    secret,
    credential: toText(credential.rawId),
    key: toText(credential.response.getPublicKey()),
    client_data: toText(credential.response.clientDataJSON),
    authenticator_data: toText(credential.response.getAuthenticatorData()),
  });
  document.querySelector("#made-name").textContent = name;
  document.querySelector("#made-fingerprint").textContent = made.fingerprint;
  document.querySelector("#made-command").textContent = made.command;
  document.querySelector("#made-entry").textContent = made.entry;
  const result = document.querySelector("#made");
  result.hidden = false;
  form.hidden = true;
  result.querySelector("h2").focus();
};

const does = { decide, "sign-in": signIn, "sign-out": signOut, enrol };

const explain = (error) => {
  if (error instanceof Refused) return error.message;
  if (error.name === "NotAllowedError") return "The passkey was not used, so nothing was done. You can try again.";
  if (error.name === "InvalidStateError") return "This device has a passkey for this page and name already.";
  return `This browser could not do it (${error.name}), so nothing was done.`;
};

let busy = false;

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy) return;
  busy = true;
  const buttons = form.querySelectorAll("button");
  buttons.forEach((button) => button.setAttribute("aria-disabled", "true"));
  say("One moment …");
  try {
    await does[form.dataset.does](event.submitter?.value);
  } catch (error) {
    if (error.over) location.reload();
    say(explain(error), true);
  } finally {
    busy = false;
    buttons.forEach((button) => button.removeAttribute("aria-disabled"));
  }
});

if (form) {
  if (!window.PublicKeyCredential && form.dataset.does !== "sign-out") {
    say("This browser has no passkeys. Use another one, or the terminal.", true);
  }
  if (invitation) {
    history.replaceState(null, "", location.pathname);
    const name = invitation.slice(0, invitation.lastIndexOf("."));
    document.querySelector("#invited").textContent = name;
  }
}
