// SPDX-License-Identifier: Apache-2.0
// The tenant's login: one page on which a person says who they are and allows what a client asks for.
// Log-in and consent are one click, so that the demo is short and a test needs a single form.

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escapeHtml = (text) => String(text).replace(/[&<>"']/g, (c) => ESCAPES[c]);

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 26rem; margin: 12vh auto; padding: 0 1.5rem; }
  h1 { font-size: 1.4rem; }
  dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; }
  dt { opacity: .7; } dd { margin: 0; overflow-wrap: anywhere; }
  label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit; }
  input { padding: .5rem; margin: .25rem 0 1rem; }
  button { padding: .6rem; cursor: pointer; margin-bottom: .5rem; }`;

const page = (title, content) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>${STYLE}</style>
<h1>${title}</h1>
${content}
</html>
`;

const loginPage = ({ client, resource, scope }) =>
    page(
        'Log in to the demo tenant',
        `<dl>
<dt>Application</dt><dd>${escapeHtml(client)}</dd>
<dt>asks for</dt><dd>${escapeHtml(scope)}</dd>
<dt>at</dt><dd>${escapeHtml(resource)}</dd>
</dl>
<form method="post">
<label for="username">User name</label>
<input id="username" name="username" value="ada" required autofocus>
<button name="answer" value="allow">Log in and allow</button>
<button name="answer" value="deny" formnovalidate>Deny</button>
</form>`,
    );

function sendPage(response, status, text) {
    response.writeHead(status, {
        'Content-Type': 'text/html; charset=utf-8',
        'Cache-Control': 'no-store',
    });
    response.end(text);
}

async function readForm(request) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    return new URLSearchParams(Buffer.concat(chunks).toString());
}

// Everything that was asked for, granted; of the API's scopes only those in MAY, if there is such a list.
async function grantAll(provider, { params, accountId, may }) {
    const grant = new provider.Grant({ accountId, clientId: params.client_id });
    const asked = (params.scope ?? '').split(' ').filter(Boolean);
    const granted = asked.filter((scope) => may?.includes(scope) ?? true);
    const refused = asked.filter((scope) => !granted.includes(scope));
    if (asked.length > 0) grant.addOIDCScope(asked.join(' '));
    for (const resource of [params.resource ?? []].flat()) {
        if (granted.length > 0) grant.addResourceScope(resource, granted.join(' '));
        if (refused.length > 0) grant.rejectResourceScope(resource, refused.join(' '));
    }
    return grant.save();
}

async function decide(provider, params, form, permissions) {
    if (form.get('answer') !== 'allow')
        return { error: 'access_denied', error_description: 'The user said no.' };
    const accountId = `auth0|${form.get('username')}`;
    const may = permissions && (permissions[accountId] ?? []);
    const grantId = await grantAll(provider, { params, accountId, may });
    return { login: { accountId }, consent: { grantId } };
}

/**
 * Answers a request for the login page (GET) or its form (POST), in an interaction of PROVIDER.
 * PERMISSIONS: account -> scopes that may be granted; undefined: all to everybody.
 */
export async function answerLogin(provider, request, response, permissions) {
    let details;
    try {
        details = await provider.interactionDetails(request, response);
    } catch {
        sendPage(response, 400, page('This login is over', '<p>Please start again.</p>'));
        return;
    }
    const { params } = details;
    if (request.method === 'POST') {
        const form = await readForm(request);
        const result = await decide(provider, params, form, permissions);
        await provider.interactionFinished(request, response, result, {
            mergeWithLastSubmission: false,
        });
        return;
    }
    const client = await provider.Client.find(params.client_id);
    sendPage(
        response,
        200,
        loginPage({
            client: client?.clientName ?? params.client_id,
            resource: [params.resource ?? '(no resource)'].flat().join(' '),
            scope: params.scope ?? '(nothing in particular)',
        }),
    );
}
