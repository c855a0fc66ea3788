import { createHash } from 'node:crypto';

/** Text that is nothing but text between tags and in quoted attributes. */
export const escaped = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** Nothing but the page's own style and form; no frame around it, no script, no answer for other pages. */
export const pageHeaders = (style: string): Readonly<Record<string, string>> => ({
  'Content-Security-Policy': `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'X-Frame-Options': 'DENY',
  // With `no-referrer` a browser would not say which page the form was on.
  'Referrer-Policy': 'same-origin',
});

interface Page {
  readonly title: string;
  readonly style: string;
  /** What is in the body, as HTML. */
  readonly content: string;
}

export const htmlPage = ({ title, style, content }: Page): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title><style>${style}</style></head>
<body>${content}</body>
</html>
`;
