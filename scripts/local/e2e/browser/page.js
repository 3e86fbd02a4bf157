// The smallest page that uploads with Uppy. window.page is how the test looks at it.
import { stowage } from './stowage-uppy.js'
import { AwsS3, Uppy } from './uppy.js'

const { api, workspace, token } = await (await fetch('config.json')).json()
const page = { parts: [], pauseAfter: 0, result: null, uppy: new Uppy({ autoProceed: true }) }

page.uppy.use(AwsS3, stowage(page.uppy, { api, workspace, token: () => token, describe: (file) => ({ path: `browser/${file.name}` }) }))
page.uppy.on('s3-multipart:part-uploaded', (_, part) => {
  page.parts.push(part.PartNumber)
  if (page.parts.length === page.pauseAfter) page.uppy.pauseAll()
})
page.uppy.on('complete', ({ successful, failed }) => {
  page.result = { objects: successful.map((file) => file.meta.objectId), errors: failed.map((file) => file.error) }
})
page.uppy.on('error', (error) => {
  page.result = { objects: [], errors: [String(error)] }
})
document.querySelector('#file').addEventListener('change', (event) => {
  for (const file of event.target.files) page.uppy.addFile({ name: file.name, type: file.type, data: file })
})
window.page = page
